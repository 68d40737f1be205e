"""Reading and writing video as NumPy arrays; nothing here imports torch.

- Results: `pictures` (clip, facts about a file, unreadable videos).
- Names: `frame_names` (which pictures are frames), `companions` (pictures that belong to a video),
  `find` (videos and optical flow by name), `folder` (pictures of a folder as a video).
- Files: `packet_kinds` and `packet_table` (packets without decoding), `kept_open` (recordings
  between reads), `decoding` (exact frames), `survey` (how much is intact), `writer` (H.264).
- Reading: `reader` (frames by number, of files and folders), `sampling` (which frames), `crops`
  (the centre crop), `views` (what a recognizer takes of a video), `windows` (of a long video).
- Of a user's own: `in_memory` (frames, bytes, open files, addresses).
- Streams: `live` (settings, rate, newest frame), `sources` (cameras, URLs, standard input).

Imports go in that order: `pictures`, `frame_names`, `companions`, `find`, `folder`,
`packet_table`, `kept_open`, `decoding`, `reader`, `views`, `windows`, `sources`.
"""
