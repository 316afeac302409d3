"""OBS Studio itself, without a screen. Debian's package is large and not among those the tests install: where it is not
there (apt-get install obs-studio xvfb libgl1-mesa-dri), this is skipped."""
import json
import os
import shutil
import subprocess

import pytest

from harness import wait_until

pytestmark = pytest.mark.skipif(not (shutil.which("obs") and shutil.which("xvfb-run")), reason="no OBS Studio here")

GLOBAL = """[General]
FirstRun=true
LastVersion=503316481
EnableAutoUpdates=false
Pre19Defaults=false
Pre21Defaults=false
Pre23Defaults=false
Pre24.1Defaults=false
[Basic]
Profile=P
ProfileDir=P
SceneCollection=S
SceneCollectionFile=S
"""
PROFILE = """[General]
Name=P
[Video]
BaseCX=1280
BaseCY=720
OutputCX=1280
OutputCY=720
FPSType=0
FPSCommon=30
[Output]
Mode=Simple
[SimpleOutput]
VBitrate=2000
ABitrate=128
StreamEncoder=x264
Preset=ultrafast
[Audio]
SampleRate=48000
ChannelSetup=Stereo
"""


def source(name, kind, settings):
    return {"name": name, "id": kind, "versioned_id": kind, "settings": settings, "enabled": True, "hotkeys": {}}


def make_home(home, server, key):
    """A profile that streams to server/key, and a scene of one colour."""
    base = home / ".config/obs-studio/basic"
    profile = base / "profiles/P"
    profile.mkdir(parents=True)
    (base / "scenes").mkdir()
    (home / ".config/obs-studio/global.ini").write_text(GLOBAL)
    (profile / "basic.ini").write_text(PROFILE)
    service = {"type": "rtmp_custom", "settings": {"server": server, "key": key, "use_auth": False, "bwtest": False}}
    (profile / "service.json").write_text(json.dumps(service))
    colour = source("Colour", "color_source_v3", {"color": 0xffcc6600, "width": 1280, "height": 720})
    item = {"name": "Colour", "id": 1, "visible": True, "align": 5, "pos": {"x": 0.0, "y": 0.0}, "scale": {"x": 1.0, "y": 1.0}}
    scene = source("Scene", "scene", {"id_counter": 1, "items": [item]})
    (base / "scenes/S.json").write_text(json.dumps({
        "name": "S", "current_scene": "Scene", "current_program_scene": "Scene", "scene_order": [{"name": "Scene"}],
        "sources": [colour, scene]}))


def test_obs_studio_publishes_720p_and_ends_its_stream(cluster, tmp_path):
    make_home(tmp_path, cluster.rtmp("").rstrip("/"), "obs")
    env = dict(os.environ, HOME=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path), LIBGL_ALWAYS_SOFTWARE="1")
    env.pop("XDG_CONFIG_HOME", None)
    with open(tmp_path / "obs.log", "wb") as log:
        obs = subprocess.Popen(["xvfb-run", "-a", "-s", "-screen 0 1280x800x24", "obs", "--startstreaming", "--multi",
                                "--minimize-to-tray", "--profile", "P", "--collection", "S"],
                               env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        entry = cluster.wait_playable("obs", 90)
        assert entry["state"] == "live"
        assert {t["name"][0] for t in entry["tracks"]} == {"v", "a"}
        assert cluster.segment("obs", entry["session"], entry["tracks"][0]["name"], 2)
    finally:
        os.killpg(obs.pid, 15)
        try:
            obs.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(obs.pid, 9)
            obs.wait()
    wait_until(lambda: cluster.stream("obs")["state"] in ("slate", "ended"), "OBS is gone")
