// What a model of `mixtconv export` says of itself, and the past of its streams (--streaming): windows,
// which the network replaces, and rings, where a new frame takes the slot of the oldest.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <codecvt>
#include <locale>
#include <string>
#include <vector>

// What follows a key in the model's description: JSON in ASCII characters.
inline std::string after(const std::string& json, const std::string& key) {
  size_t at = json.find('"' + key + "\": ");
  if (at == std::string::npos) throw std::runtime_error("the model's description has no " + key);
  return json.substr(at + key.size() + 4);
}

inline std::vector<std::string> strings(const std::string& list) {  // of a JSON list
  std::vector<std::string> found;
  for (size_t at = 1; list.at(at) != ']'; at++) {
    if (list[at] != '"') continue;
    std::u16string text;
    while (list.at(++at) != '"') {
      bool is_code = list[at] == '\\' && list.at(++at) == 'u';
      text += is_code ? char16_t(std::stoul(list.substr(at + 1, 4), nullptr, 16)) : char16_t(list[at]);
      at += is_code ? 4 : 0;
    }
    found.push_back(std::wstring_convert<std::codecvt_utf8_utf16<char16_t>, char16_t>().to_bytes(text));
  }
  return found;
}

// A part of the past of a stream: an input, zeros at the start, and the output by which it changes.
struct State {
  std::string output;
  size_t slots, start;  // of a ring: its frames, and the first of the output's channels; 0 of a window

  State(const std::string& about, const std::string& input) : output("next_" + input), slots(0), start(0) {
    std::string own = after(about, "states");
    own = own.substr(own.find("\"name\": \"" + input + '"'));
    size_t ring = own.find("\"ring\": {"), next = own.find("\"name\": ", 1);
    if (ring == std::string::npos || ring > next) return;
    output = strings("[" + after(own, "output"))[0];
    slots = std::stoul(after(own, "slots")), start = std::stoul(after(own, "start"));
  }

  // Takes what the network gave for frame `number`. A ring is (1, C, slots * H, W), a frame (1, C', H, W).
  void keep(Ort::Value& past, Ort::Value& given, size_t number) const {
    if (slots == 0) {
      past = std::move(given);
      return;
    }
    auto shape = past.GetTensorTypeAndShapeInfo().GetShape();
    size_t size = shape[2] / slots * shape[3];  // of one channel of a frame
    const float* from = given.GetTensorData<float>() + start * size;
    float* to = past.GetTensorMutableData<float>() + number % slots * size;
    for (int64_t channel = 0; channel < shape[1]; channel++, from += size, to += slots * size)
      std::copy_n(from, size, to);
  }
};
