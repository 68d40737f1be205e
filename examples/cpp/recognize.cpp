// Labels of raw RGB frames by a recognizer of `mixtconv export --to onnx --pixels uint8`, on ONNX
// Runtime: of a clip one ranking, of a stream (--streaming) a line a frame. No threshold is applied.
//   c++ -std=c++17 -O2 recognize.cpp -o recognize $(pkg-config --cflags --libs libonnxruntime)
//   ffmpeg -i clip.mp4 -f rawvideo -pix_fmt rgb24 - | ./recognize model.onnx 340x256
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <numeric>
#include <valarray>

#include "description.h"

using Bytes = std::vector<uint8_t>;
using Logits = std::valarray<float>;

// Resizes the middle axis of (outer, length, inner) and keeps `count` places from `start` on: bilinear,
// the mean over the pixels that a new one covers.
Bytes resized(const Bytes& in, int outer, int length, int inner, int to, int start, int count) {
  double scale = double(length) / to, reach = std::max(scale, 1.0);
  Bytes out(size_t(outer) * count * inner);
  for (int i = 0; i < count; i++) {
    double center = (start + i + 0.5) * scale;
    int first = std::max(int(center - reach + 0.5), 0), end = std::min(int(center + reach + 0.5), length);
    std::vector<double> weights;
    for (int at = first; at < end; at++)
      weights.push_back(std::max(1 - std::abs((at - center + 0.5) / reach), 0.0));
    double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (int o = 0; o < outer; o++)
      for (int k = 0; k < inner; k++) {
        double value = 0.5;
        for (int at = first; at < end; at++)
          value += weights[at - first] / sum * in[(size_t(o) * length + at) * inner + k];
        out[(size_t(o) * count + i) * inner + k] = uint8_t(value);
      }
  }
  return out;
}

Bytes center_crop(const Bytes& frame, int64_t width, int64_t height, int size) {  // -> (3, S, S)
  int64_t shorter = std::min(width, height), side = std::lrint(size * 256 / 224.0);
  int to_width = int(side * width / shorter), to_height = int(side * height / shorter);
  int left = int(std::lrint((to_width - size) / 2.0)), top = int(std::lrint((to_height - size) / 2.0));
  Bytes lines = resized(frame, int(height), int(width), 3, to_width, left, size);
  Bytes crop = resized(lines, 1, int(height), 3 * size, to_height, top, size), planes(crop.size());
  for (size_t at = 0; at < crop.size(); at++) planes[at % 3 * size * size + at / 3] = crop[at];
  return planes;
}

void print(const Logits& logits, const std::vector<std::string>& classes, bool is_several, size_t most) {
  Logits powers = std::exp(logits - logits.max()), scores = powers / powers.sum();
  if (is_several) scores = 1.0f / (1.0f + std::exp(-logits));
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  for (size_t at = 0; at < std::min(most, order.size()); at++)
    std::cout << classes[order[at]] << '\t' << scores[order[at]] << std::endl;
}

int main(int argc, char** argv) try {
  int width = 0, height = 0;
  if (argc < 3 || std::sscanf(argv[2], "%dx%d", &width, &height) != 2 || width < 1 || height < 1)
    throw std::runtime_error("give a model, the size of frames, perhaps their file: m.onnx 340x256");
  std::string paths[] = {argv[1], argc > 3 ? argv[3] : "/dev/stdin"};
  for (auto& path : paths) if (!std::ifstream(path)) throw std::runtime_error("cannot open " + path);
  std::ifstream file(paths[1], std::ios::binary);
  Ort::Env environment(ORT_LOGGING_LEVEL_ERROR);
  Ort::Session session(environment, std::filesystem::path(paths[0]).c_str(), Ort::SessionOptions());
  Ort::AllocatorWithDefaultOptions allocator;
  auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("mixtconv", allocator);
  std::string about = text ? text.get() : "";
  auto classes = strings(after(about, "classes"));
  if (after(about, "pixels").rfind("\"uint8", 0)) throw std::runtime_error("export it with --pixels uint8");
  if (after(about, "modality").rfind("\"rgb\"", 0) && after(about, "modality").rfind("\"motion\"", 0))
    throw std::runtime_error("it does not take pictures: modality rgb or motion");
  size_t length = std::stoul(after(about, "num_frames")), stride = std::stoul(after(about, "frame_stride"));
  int size = std::stoi(after(about, "image_size"));
  bool is_dense = after(about, "sampling")[1] == 'd', is_stream = after(about, "states")[0] == '[';
  bool is_several = about.find("\"label_thresholds\": [") != std::string::npos;
  // The first input is the pictures; the others are of a stream, the number of the frame and its past.
  size_t count = session.GetInputCount(), number = 0;
  std::vector<Ort::AllocatedStringPtr> names;
  std::vector<const char*> inputs, outputs;
  std::vector<Ort::Value> values;
  std::map<size_t, State> past;  // by input
  for (size_t i = 0; i < session.GetOutputCount(); i++)
    outputs.push_back(names.emplace_back(session.GetOutputNameAllocated(i, allocator)).get());
  for (size_t i = 0; i < count; i++) {
    inputs.push_back(names.emplace_back(session.GetInputNameAllocated(i, allocator)).get());
    bool is_number = inputs[i] == std::string("frame_number");
    auto type = session.GetInputTypeInfo(i);
    auto shape = type.GetTensorTypeAndShapeInfo().GetShape();
    shape[0] = 1;
    size_t total = std::accumulate(shape.begin(), shape.end(), size_t(1), std::multiplies<>());
    values.push_back(Ort::Value::CreateTensor(allocator, shape.data(), shape.size(),
                                              type.GetTensorTypeAndShapeInfo().GetElementType()));
    std::fill_n(values[i].GetTensorMutableData<uint8_t>(), total * (i == 0 ? 1 : is_number ? 8 : 4), 0);
    if (i > 0 && !is_number) past.emplace(i, State(about, inputs[i]));
  }
  auto run = [&](const Bytes& pixels) {  // -> logits; keeps the past
    std::copy(pixels.begin(), pixels.end(), values[0].GetTensorMutableData<uint8_t>());
    if (count > 1 && !past.count(1)) *values[1].GetTensorMutableData<int64_t>() = int64_t(number);
    auto results = session.Run({}, inputs.data(), values.data(), count, outputs.data(), outputs.size());
    for (const auto& [input, state] : past)
      for (size_t i = 1; i < outputs.size(); i++)
        if (outputs[i] == state.output) state.keep(values[input], results[i], number);
    number++;
    return Logits(results[0].GetTensorData<float>(), classes.size());
  };
  Bytes frame(size_t(width) * height * 3), clip;
  std::vector<Bytes> crops;
  std::vector<Logits> recent;
  while (file.read(reinterpret_cast<char*>(frame.data()), std::streamsize(frame.size()))) {
    crops.push_back(center_crop(frame, width, height, size));
    if (!is_stream) continue;
    recent.push_back(run(crops.back()));
    crops.clear();
    if (recent.size() > length) recent.erase(recent.begin());
    Logits sum = std::accumulate(recent.begin(), recent.end(), Logits(0.0f, classes.size()));
    print(sum / float(recent.size()), classes, is_several, 1);
  }
  if (file.gcount()) throw std::runtime_error("the last frame is not whole: are they of another size?");
  size_t total = crops.size(), span = length * stride, start = total > span ? (total - span) / 2 : 0;
  if (total == 0) return is_stream ? 0 : throw std::runtime_error("there is no whole frame");
  for (size_t i = 0; i < length; i++) {
    const Bytes& crop = crops[is_dense ? (start + i * stride) % total : (2 * i + 1) * total / (2 * length)];
    clip.insert(clip.end(), crop.begin(), crop.end());
  }
  print(run(clip), classes, is_several, 5);
} catch (const std::exception& error) {
  std::cerr << "recognize: " << error.what() << std::endl;
  return 2;
}
