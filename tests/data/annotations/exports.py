"""Files as annotation tools export them, small, and their segments in short."""

# ruff: noqa: E501 (lines are as long as the tools write them)

from pathlib import Path

from mixtconv.data.annotations import Annotations, read_annotations


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, name: str, text: str) -> Annotations:
    annotations = read_annotations(write(folder, name, text))
    assert annotations is not None
    return annotations


def short(annotations: Annotations) -> list[tuple]:
    """Video, label, start, end and unit of each segment; times as floats."""
    return [
        (
            segment.video,
            segment.label,
            None if segment.start is None else float(segment.start),
            None if segment.end is None else float(segment.end),
            segment.unit,
        )
        for segment in annotations.segments
    ]


LABEL_STUDIO = """[{"id": 7, "annotations": [{"id": 11, "completed_by": 1, "result": [
 {"original_length": 12.0, "value": {"ranges": [{"start": 3, "end": 5}],
  "timelinelabels": ["Moving"]}, "id": "a1", "from_name": "tl", "to_name": "video",
  "type": "timelinelabels", "origin": "manual"},
 {"value": {"ranges": [{"start": 8, "end": 8}], "timelinelabels": ["Still", "Dark"]},
  "id": "a2", "from_name": "tl", "to_name": "video", "type": "timelinelabels", "origin": "manual"},
 {"value": {"framesCount": 300, "duration": 12, "sequence": [{"frame": 1, "enabled": true,
  "rotation": 0, "x": 1, "y": 2, "width": 3, "height": 4, "time": 0.04}], "labels": ["Dog"]},
  "id": "a3", "from_name": "box", "to_name": "video", "type": "videorectangle",
  "origin": "manual"}],
 "was_cancelled": false, "ground_truth": false, "created_at": "2024-05-02T08:00:00.000000Z",
 "updated_at": "2024-05-02T08:10:00.000000Z", "lead_time": 31.5, "prediction": {}, "task": 7}],
 "file_upload": "0f5c89ab-walk.mp4", "drafts": [], "predictions": [],
 "data": {"video": "/data/upload/1/0f5c89ab-walk.mp4"}, "meta": {}, "project": 1},
 {"id": 8, "annotations": [{"id": 12, "result": [], "was_cancelled": false,
 "updated_at": "2024-05-02T09:00:00.000000Z"}], "predictions": [],
 "data": {"video": "/data/local-files/?d=cam%201/empty.mp4"}},
 {"id": 9, "annotations": [], "predictions": [],
 "data": {"video": "https://bucket.s3.amazonaws.com/in/later.mp4?X-Amz-Expires=60"}}]"""

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>5</id>
      <name>kitchen</name>
      <size>100</size>
      <mode>interpolation</mode>
      <overlap>5</overlap>
      <subset>Train</subset>
      <start_frame>10</start_frame>
      <stop_frame>109</stop_frame>
      <frame_filter></frame_filter>
      <labels>
        <label><name>stir</name><color>#ff0000</color><type>any</type><attributes></attributes></label>
      </labels>
      <segments><segment><id>5</id><start>0</start><stop>99</stop></segment></segments>
      <original_size><width>640</width><height>480</height></original_size>
      <source>kitchen.mp4</source>
    </task>
    <dumped>2024-05-02 16:05:07.134046+00:00</dumped>
  </meta>
  <track id="0" label="stir" source="manual">
    <box frame="20" keyframe="1" outside="0" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4" z_order="0"></box>
    <box frame="21" keyframe="0" outside="0" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4" z_order="0"></box>
    <box frame="22" keyframe="1" outside="1" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4" z_order="0"></box>
    <box frame="40" keyframe="1" outside="0" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4" z_order="0"></box>
    <box frame="41" keyframe="1" outside="1" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4" z_order="0"></box>
  </track>
  <track id="1" label="pour" source="manual">
    <polygon frame="108" keyframe="1" outside="0" occluded="0" points="1,2;3,4;5,6" z_order="0"></polygon>
    <polygon frame="109" keyframe="0" outside="0" occluded="0" points="1,2;3,4;5,6" z_order="0"></polygon>
  </track>
</annotations>
"""

ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-05-02T10:00:00+01:00" FORMAT="3.0" VERSION="3.0"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
        <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/field%20work/s1.mp4" MIME_TYPE="video/mp4" RELATIVE_MEDIA_URL="./s1.mp4"/>
        <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/field%20work/s1.wav" MIME_TYPE="audio/x-wav" RELATIVE_MEDIA_URL="./s1.wav"/>
        <PROPERTY NAME="lastUsedAnnotationId">9</PROPERTY>
    </HEADER>
    <TIME_ORDER>
        <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/>
        <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2500"/>
        <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="4000"/>
        <TIME_SLOT TIME_SLOT_ID="ts4"/>
        <TIME_SLOT TIME_SLOT_ID="ts5"/>
        <TIME_SLOT TIME_SLOT_ID="ts6" TIME_VALUE="7000"/>
    </TIME_ORDER>
    <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="gesture">
        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
                <ANNOTATION_VALUE>wave</ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>
        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
                <ANNOTATION_VALUE></ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>
    </TIER>
    <TIER LINGUISTIC_TYPE_REF="phases" PARENT_REF="gesture" TIER_ID="phase">
        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
                <ANNOTATION_VALUE>up</ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>
        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a4" TIME_SLOT_REF1="ts4" TIME_SLOT_REF2="ts5">
                <ANNOTATION_VALUE>hold</ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>
        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a5" TIME_SLOT_REF1="ts5" TIME_SLOT_REF2="ts6">
                <ANNOTATION_VALUE>down</ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>
    </TIER>
    <TIER LINGUISTIC_TYPE_REF="words" PARENT_REF="gesture" TIER_ID="gloss">
        <ANNOTATION>
            <REF_ANNOTATION ANNOTATION_ID="a7" ANNOTATION_REF="a1" PREVIOUS_ANNOTATION="a6">
                <ANNOTATION_VALUE>you</ANNOTATION_VALUE>
            </REF_ANNOTATION>
        </ANNOTATION>
        <ANNOTATION>
            <REF_ANNOTATION ANNOTATION_ID="a6" ANNOTATION_REF="a1">
                <ANNOTATION_VALUE>hello</ANNOTATION_VALUE>
            </REF_ANNOTATION>
        </ANNOTATION>
        <ANNOTATION>
            <REF_ANNOTATION ANNOTATION_ID="a8" ANNOTATION_REF="a7">
                <ANNOTATION_VALUE>du</ANNOTATION_VALUE>
            </REF_ANNOTATION>
        </ANNOTATION>
    </TIER>
    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""

BORIS_AGGREGATED = """\
Observation id,Observation date,Description,Observation type,Source,Time offset (s),Coding duration,Media duration (s),FPS (frame/s),Subject,Observation duration by subject by observation,Behavior,Behavioral category,Modifier #1,Behavior type,Start (s),Stop (s),Duration (s),Media file name,Image index start,Image index stop,Image file path start,Image file path stop,Comment start,Comment stop
cage 1,2024-05-02 10:00:00,,Media file,player #1:videos/cage1.mp4,0.0,50.125,60.000,25.000,rat A,12.5,groom,Not defined,,STATE,1.500,4.250,2.750,videos/cage1.mp4,37,106,,,,
cage 1,2024-05-02 10:00:00,,Media file,player #1:videos/cage1.mp4,0.0,50.125,60.000,25.000,rat A,12.5,sniff,Not defined,left,POINT,6.000,6.000,NA,videos/cage1.mp4,150,150,,,,
cage 1,2024-05-02 10:00:00,,Media file,player #1:videos/cage1.mp4,0.0,50.125,60.000,25.000,No focal subject,12.5,rest,Not defined,,STATE,50.000,NA,NA,videos/cage1.mp4,1250,NA,,,,
"""

BORIS_PROJECT = """{"time_format": "hh:mm:ss", "project_date": "2024-05-02T10:00:00",
"project_name": "cages", "project_description": "", "project_format_version": "7.0",
"subjects_conf": {"0": {"key": "a", "name": "rat A", "description": ""}},
"behaviors_conf": {
 "0": {"type": "State event", "key": "g", "code": "groom", "description": "", "category": "",
  "modifiers": "", "excluded": "", "coding map": ""},
 "1": {"type": "Point event", "key": "s", "code": "sniff", "description": "", "category": "",
  "modifiers": "", "excluded": "", "coding map": ""}},
"observations": {"long": {"file": {"1": ["a.mp4", "b.mp4"], "2": ["side.mp4"], "3": []},
 "type": "MEDIA", "date": "2024-05-02T10:00:00", "description": "", "time offset": 100.0,
 "events": [[105.5, "rat A", "groom", "", "", 137], [106.0, "rat A", "sniff", "", "", 150],
  [112.25, "rat A", "groom", "", "", 306], [118.0, "rat A", "groom", "", "", 450],
  [119.0, "", "groom", "", "", 475], [119.5, "rat A", "groom", "", "", 487],
  [120.0, "", "groom", "", "", 500]],
 "observation time interval": [0, 0], "independent_variables": {},
 "media_info": {"length": {"a.mp4": 10.0, "b.mp4": 15.0, "side.mp4": 25.0},
  "fps": {"a.mp4": 25.0, "b.mp4": 25.0}}},
 "quiet": {"file": {"1": ["quiet.mp4"]}, "type": "MEDIA", "time offset": 0.0, "events": [],
 "media_info": {"length": {"quiet.mp4": 9.5}}},
 "field": {"file": {}, "type": "LIVE", "time offset": 0.0, "events": [[1.0, "", "groom", "", ""]]}},
"behavioral_categories": [], "independent_variables": {}, "coding_map": {},
"behaviors_coding_map": [], "converters": {}}"""

VIA = """{"project":{"pid":"__VIA_PROJECT_ID__","rev":"__VIA_PROJECT_REV_ID__",
"rev_timestamp":"__VIA_PROJECT_REV_TIMESTAMP__","pname":"Street",
"creator":"VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)",
"created":1574343199772,"vid_list":["1","2"]},
"config":{"file":{"loc_prefix":{"1":"","2":"","3":"","4":""}},"ui":{"file_content_align":"center"}},
"attribute":{"1":{"aname":"action","anchor_id":"FILE1_Z2_XY0","type":4,"desc":"",
"options":{"0":"cross","1":"wait"},"default_option_id":""},
"2":{"aname":"who","anchor_id":"FILE1_Z2_XY0","type":2,"desc":"",
"options":{"0":"adult","1":"child"},"default_option_id":""},
"3":{"aname":"remark","anchor_id":"FILE1_Z2_XY0","type":1,"desc":"","options":{},
"default_option_id":""}},
"file":{"1":{"fid":"1","fname":"street.mp4","type":4,"loc":1,"src":""},
"2":{"fid":"2","fname":"park.mp4","type":4,"loc":2,"src":"https://videos.org/p/park.mp4?key=1"}},
"metadata":{"1_a":{"vid":"1","flg":0,"z":[1.346,2.741],"xy":[],"av":{"1":"1"}},
"1_b":{"vid":"1","flg":0,"z":[3,4.5],"xy":[],"av":{"1":"0","2":"0,1","3":""}},
"1_c":{"vid":"1","flg":0,"z":[4.633],"xy":[2,10,20,50,80],"av":{"2":"0"}},
"1_d":{"vid":"1","flg":0,"z":[6,7],"xy":[],"av":{}}},
"view":{"1":{"fid_list":["1"]},"2":{"fid_list":["2"]}}}"""

ACTIVITYNET = """{"version": "VERSION 1.3", "taxonomy": [{"parentName": "Root", "nodeName": "Sports",
"nodeId": 1, "parentId": 0}], "database": {
"sJFgo9H6zNo": {"duration": 128.15, "subset": "training", "resolution": "1280x720",
 "url": "https://www.youtube.com/watch?v=sJFgo9H6zNo",
 "annotations": [{"segment": [0, 124.23298969072165], "label": "Fun sliding down"}]},
"V1zhqaGFY2A": {"duration": 117.02, "subset": "validation", "resolution": "320x240",
 "url": "https://www.youtube.com/watch?v=V1zhqaGFY2A",
 "annotations": [{"segment": [0.01, 7.5], "label": "Beer pong"},
                 {"segment": [20, 31.25], "label": "Beer pong"}]},
"hidden00000": {"duration": 9.5, "subset": "testing", "resolution": "320x240", "url": "",
 "annotations": []}}}"""

CREATE_ML = """[{"image": "set.mov", "label": "lunge", "start": 0.5, "end": 2.25},
{"video": "other.mov", "annotations": [{"label": "squat", "start": 1, "end": 3.5}]}]"""

ALL = {
    "label-studio.json": LABEL_STUDIO,
    "annotations.xml": CVAT,
    "s1.eaf": ELAN,
    "events.csv": BORIS_AGGREGATED,
    "cages.boris": BORIS_PROJECT,
    "via.json": VIA,
    "activity_net.json": ACTIVITYNET,
    "create-ml.json": CREATE_ML,
}
"""Name -> content of one file a format."""
