"""Several recognizers as one: who sees what, and the average of their logits."""

import numpy as np
import pytest
import torch

from mixtconv.models import create_model
from mixtconv.models.spec import ModelSpec
from mixtconv.models.systems.whole_clip import FrameEnsemble, interleave_frames


@pytest.mark.parametrize("counts", [(16, 20, 24, 32), (4, 4), (1, 7), (3,)])
def test_every_frame_goes_to_one_network_and_all_see_the_whole(counts) -> None:
    shares = interleave_frames(counts)
    assert [len(share) for share in shares] == list(counts)
    assert sorted(frame for share in shares for frame in share) == list(range(sum(counts)))
    for share in shares:
        assert share == sorted(share)
        ideal = (np.arange(len(share)) + 0.5) * sum(counts) / len(share)
        assert np.abs(np.array(share) + 0.5 - ideal).max() <= len(counts) / 2 + 1


def _members(*lengths: int) -> list:
    return [
        create_model("mstnet_test_resnet", 3, num_frames=length, image_size=32).eval()
        for length in lengths
    ]


def test_logits_are_the_average_of_the_members() -> None:
    members = _members(2, 4)
    whole = FrameEnsemble(members, ModelSpec("pair", ("a", "b", "c"), 6, image_size=32)).eval()
    clips = torch.randn(2, 6, 3, 32, 32)
    with torch.no_grad():
        parts = [members[0](clips[:, [1, 4]]), members[1](clips[:, [0, 2, 3, 5]])]
        torch.testing.assert_close(whole(clips), (parts[0] + parts[1]) / 2)
        torch.testing.assert_close(whole.forward_frames(clips), torch.stack(parts, dim=1))
        assert whole.forward_features(clips).shape[:2] == (2, 1)
    with pytest.raises(ValueError, match=r"clips of 5 frames, the model takes 6: sample as many$"):
        whole(clips[:, :5])


def test_eco_en_lite_is_four_networks_over_92_frames() -> None:
    torch.manual_seed(0)
    model = create_model("eco_en_lite_92", 3, image_size=32).eval()
    assert [member.num_frames for member in model.members] == [16, 20, 24, 32]
    clips, frames = torch.randn(1, 92, 3, 32, 32), interleave_frames((16, 20, 24, 32))
    with torch.no_grad():
        logits = [
            member(clips[:, share]) for member, share in zip(model.members, frames, strict=True)
        ]
        torch.testing.assert_close(model(clips), torch.stack(logits).mean(dim=0))


def test_one_stream_sees_pictures_and_the_other_flow() -> None:
    torch.manual_seed(0)
    model = create_model("trn_twostream_test_resnet", 3, num_frames=2, image_size=32).eval()
    assert model.spec.modality == "rgbflow"
    rgb, flow = model.members
    assert (rgb.spec.modality, flow.spec.modality) == ("rgb", "flow")
    read = torch.randint(0, 256, (2, 2, 5, 5, 32, 32), dtype=torch.uint8)  # places, R G B x y
    pictures, fields = read[:, :, 0, :3], read[:, :, :, 3:].flatten(2, 3)
    with torch.no_grad():
        expected = (rgb(rgb.normalize(pictures)) + flow(flow.normalize(fields))) / 2
        got = model(model.normalize(read.flatten(2, 3)))
    torch.testing.assert_close(got, expected)
    with pytest.raises(ValueError, match="sees pictures and optical flow; modality is 'rgb'"):
        create_model("trn_twostream_test_resnet", 3, modality="rgb")
