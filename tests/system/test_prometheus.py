"""deploy/prometheus: every alert fires when it should and is silent when not, every metric it names is one a daemon has, and
every alert is in the runbook. promtool evaluates the rules; time in it is simulated."""
import glob
import json
import os
import re
import shutil
import subprocess

import pytest

from harness import TOP

FOLDER = os.path.join(TOP, "deploy", "prometheus")
RULES = os.path.join(FOLDER, "rules.yml")
pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")

JOBS = ("ingestd", "transcoderd", "originD", "edged")


def up(value="1x60", but=None, other="0x60"):
    return {f'freshet_ready{{job="{job}",instance="{job}:1"}}': other if job == but else value for job in JOBS}


def glass(bound):
    """100 a minute, all just below this bound."""
    bounds = ("0.5", "1", "2", "+Inf")
    return {f'edged_glass_seconds_bucket{{instance="e:1",le="{b}"}}': "0+17x60" if float(b) >= bound else "0x60" for b in bounds}


# alert: series that make it fire, series that do not; values as promtool has them, one every 10 s
CASES = {
    "FreshetNodeDown": ({'up{job="edged",instance="e:1"}': "1x5 0x60"}, {'up{job="edged",instance="e:1"}': "1x60", 'up{job="other"}': "0x60"}),
    "FreshetNoneReady": (up(but="edged"), up()),
    "FreshetNodeNotReady": ({'freshet_ready{job="edged",instance="e:1"}': "0x60"}, {'freshet_ready{job="edged",instance="e:1"}': "1x20 0x10 1x30"}),
    "FreshetTranscoderBehind": ({'transcoderd_behind_seconds{instance="t:1"}': "3x60"}, {'transcoderd_behind_seconds{instance="t:1"}': "0.4x60"}),
    "FreshetEncoderHeadroomLow": ({'transcoderd_cpu_seconds_total{instance="t:1"}': "0+19x60", 'transcoderd_cpus{instance="t:1"}': "2x60"},
                                  {'transcoderd_cpu_seconds_total{instance="t:1"}': "0+10x60", 'transcoderd_cpus{instance="t:1"}': "2x60"}),
    "FreshetOriginOutOfStep": ({'transcoderd_owners{instance="t:1",state="out_of_step"}': "1x60", 'transcoderd_owners{instance="t:1",state="in_step"}': "1x60"},
                               {'transcoderd_owners{instance="t:1",state="out_of_step"}': "0x60", 'transcoderd_owners{instance="t:1",state="in_step"}': "2x60"}),
    "FreshetOriginBehind": ({'originD_behind_sessions{instance="o:1"}': "2x60"}, {'originD_behind_sessions{instance="o:1"}': "2x6 0x54"}),
    "FreshetOriginMissing": ({'freshet_ready{job="originD",instance="o:1"}': "1x60", 'freshet_ready{job="originD",instance="o:2"}': "1x20 stale"},
                             {'freshet_ready{job="originD",instance="o:1"}': "1x60", 'freshet_ready{job="originD",instance="o:2"}': "1x20 0x6 1x34"}),
    "FreshetPeerFar": ({'freshet_far_peers{instance="t:1"}': "1x60"}, {'freshet_far_peers{instance="t:1"}': "1x3 0x57"}),
    "FreshetPeerDead": ({'freshet_peers{instance="t:1",role="originD",state="dead"}': "1x60"}, {'freshet_peers{instance="t:1",role="originD",state="dead"}': "0x60"}),
    "FreshetChunksDropped": ({'transcoderd_dropped_chunks_total{instance="t:1"}': "0x50 7x10"}, {'transcoderd_dropped_chunks_total{instance="t:1"}': "7x60"}),
    # 100 GB, a fifth of which goes in the ten minutes; or 1 MB of it
    "FreshetDiskFills": ({'originD_free_bytes{instance="o:1"}': "100e9-3e8x120", 'originD_min_free_bytes{instance="o:1"}': "268435456x120"},
                         {'originD_free_bytes{instance="o:1"}': "100e9-1e5x120", 'originD_min_free_bytes{instance="o:1"}': "268435456x120"}),
    "FreshetDiskFull": ({'originD_free_bytes{instance="o:1"}': "1e8x60", 'originD_min_free_bytes{instance="o:1"}': "268435456x60"},
                        {'originD_free_bytes{instance="o:1"}': "1e9x60", 'originD_min_free_bytes{instance="o:1"}': "268435456x60"}),
    "FreshetDiskDamaged": ({'originD_scrubbed_volumes_total{instance="o:1",status="damaged"}': "0x30 1x30"},
                           {'originD_scrubbed_volumes_total{instance="o:1",status="damaged"}': "1x60", 'originD_scrubbed_volumes_total{instance="o:1",status="whole"}': "0+9x60"}),
    "FreshetSlate": ({'transcoderd_slate_seconds_total{instance="t:1"}': "0+10x60"}, {'transcoderd_slate_seconds_total{instance="t:1"}': "0x20 0+10x6 60x40"}),
    "FreshetFailoversOften": ({'ingestd_failovers_total{instance="i:1"}': "0x10 5x50", 'ingestd_swaps_total{instance="i:1"}': "0x60"},
                              {'ingestd_failovers_total{instance="i:1"}': "0x10 2x50", 'ingestd_swaps_total{instance="i:1"}': "0x60"}),
    "FreshetEdgeErrors": ({'edged_requests_total{instance="e:1",result="miss",status="503"}': "0+5x60", 'edged_requests_total{instance="e:1",result="hit",status="200"}': "0+95x60"},
                          {'edged_requests_total{instance="e:1",result="miss",status="503"}': "0x60", 'edged_requests_total{instance="e:1",result="hit",status="200"}': "0+95x60"}),
    "FreshetEdgeHitRatioLow": ({'edged_requests_total{instance="e:1",result="miss",status="200"}': "0+700x120", 'edged_requests_total{instance="e:1",result="hit",status="200"}': "0+300x120"},
                               {'edged_requests_total{instance="e:1",result="miss",status="200"}': "0+7x120", 'edged_requests_total{instance="e:1",result="hit",status="200"}': "0+3x120"}),
    "FreshetEdgeUnsure": ({'edged_names_current{instance="e:1"}': "0x60"}, {'edged_names_current{instance="e:1"}': "1x20 0x10 1x30"}),
    # a node that stands still for some seconds wakes nobody up
    "FreshetUpstreamBusy": ({'edged_upstream_passed_over_total{instance="e:1"}': "0+2x60"}, {'edged_upstream_passed_over_total{instance="e:1"}': "0x51 0+300x2 600x4"}),
    "FreshetPlayersStarve": ({'edged_player_starved_total{instance="e:1"}': "0+10x90", 'edged_player_reports_total{instance="e:1",via="query",version="1"}': "0+100x90"},
                             {'edged_player_starved_total{instance="e:1"}': "0+1x90", 'edged_player_reports_total{instance="e:1",via="query",version="1"}': "0+100x90"}),
    # of twenty who read two tracks each a tenth is eight segments a poll of 10 s; one viewer's own network is nobody's fault
    "FreshetTailsBehind": ({'edged_tails{instance="e:1"}': "40x120", 'edged_tail_left_out_total{instance="e:1"}': "0+80x120"},
                           {'edged_tails{instance="e:1"}': "2x120", 'edged_tail_left_out_total{instance="e:1"}': "0+10x120"}),
    "FreshetHandshakesRefused": ({'edged_turned_away_total{instance="e:1",reason="handshakes_per_s"}': "0+30x120"},
                                 {'edged_turned_away_total{instance="e:1",reason="connections_max"}': "0+30x120"}),
    "FreshetHandshakesFail": ({'edged_tls_handshakes_total{instance="e:1",result="full"}': "0+20x120",
                               'edged_tls_handshakes_total{instance="e:1",result="failed"}': "0+20x120"},
                              {'edged_tls_handshakes_total{instance="e:1",result="full"}': "0+100x120",
                               'edged_tls_handshakes_total{instance="e:1",result="failed"}': "0+10x120"}),
    "FreshetCuesLost": ({'ingestd_cues_dropped_total{instance="i:1"}': "0+1x120"}, {'transcoderd_cues_dropped_total{instance="t:1"}': "0x60 3x60"}),
    "FreshetGlassToEdgeSlow": (glass(2), glass(0.5)),
    "FreshetPublishersRefused": ({'ingestd_closed_total{instance="i:1",reason="denied"}': "0+2x60"}, {'ingestd_closed_total{instance="i:1",reason="stopped"}': "0+9x60"}),
    # simulated time begins at 0
    "FreshetCertificateExpires": ({'freshet_tls_not_after_seconds{job="ingestd",instance="i:1"}': "864000x60"},
                                  {'freshet_tls_not_after_seconds{job="ingestd",instance="i:1"}': "0x60", 'freshet_cluster_certificate_not_after_seconds{instance="o:1"}': "8640000x60"}),
    "FreshetCertificateExpiresSoon": ({'freshet_cluster_certificate_not_after_seconds{job="originD",instance="o:1"}': "86400x60"},
                                      {'freshet_cluster_certificate_not_after_seconds{job="originD",instance="o:1"}': "864000x60"}),
    "FreshetCertificateNotTaken": ({'freshet_tls_reloads_total{instance="i:1",result="failed"}': "0x40 1x20"},
                                   {'freshet_tls_reloads_total{instance="i:1",result="ok"}': "0x40 1x20", 'freshet_cluster_certificate_unusable{instance="i:1"}': "0x60"}),
    "FreshetClockStepped": ({'originD_age_clock_behind_seconds{instance="o:1"}': "90000-60x60"},
                            {'freshet_clock_offset_seconds{instance="o:1"}': "-2x60", 'originD_age_clock_behind_seconds{instance="o:1"}': "600-60x60"}),
    "FreshetClocksDisagree": ({'freshet_clock_seconds{instance="a:1"}': "0+10x60", 'freshet_clock_seconds{instance="b:1"}': "5+10x60"},
                              {'freshet_clock_seconds{instance="a:1"}': "0+10x60", 'freshet_clock_seconds{instance="b:1"}': "2+10x60"}),
    "FreshetWebhooksDropped": ({'originD_webhook_dropped_total{instance="o:1",reason="old"}': "0x30 4x30"}, {'originD_webhook_dropped_total{instance="o:1",reason="old"}': "4x60"}),
    "FreshetWebhooksWait": ({'originD_webhook_waiting{instance="o:1"}': "3x120"}, {'originD_webhook_waiting{instance="o:1"}': "3x80 0x5 3x35"}),
    "FreshetArchiveFails": ({'originD_archive_failing{instance="o:1"}': "1x120"}, {'originD_archive_failing{instance="o:1"}': "1x80 0x5 1x35"}),
    "FreshetPeersRefused": ({'freshet_peer_errors_total{instance="o:1",reason="wrong_token"}': "0+1x60"}, {'freshet_peer_errors_total{instance="o:1",reason="wrong_token"}': "0x50 2x10"}),
}


def text_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def alerts():
    return re.findall(r"^      - alert: (\w+)$", text_of(RULES), re.M)


def test_every_alert_has_a_case():
    assert sorted(CASES) == sorted(alerts())


def test_every_alert_fires_when_it_should_and_is_silent_when_not(tmp_path):
    tests = []
    for alert, (firing, silent) in CASES.items():
        for series, wanted in ((firing, True), (silent, False)):
            length = max(sum(int(n) + 1 for n in re.findall(r"x(\d+)", v)) for v in series.values())
            # a case that is about other nodes leaves the four tiers ready
            others = {} if any(s.startswith("freshet_ready") for s in series) else up("1x130")
            samples = [{"labels": "{}", "value": 1}] if wanted else []
            tests.append({"name": f"{alert} {'fires' if wanted else 'is silent'}", "interval": "10s",
                          "input_series": [{"series": s, "values": v} for s, v in {**series, **others}.items()],
                          "promql_expr_test": [{"expr": f'clamp_max(count(ALERTS{{alertname="{alert}",alertstate="firing"}}), 1)',
                                                "eval_time": f"{(length - 2) * 10}s", "exp_samples": samples}]})
    path = tmp_path / "tests.yml"
    path.write_text(json.dumps({"rule_files": [RULES], "evaluation_interval": "10s", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_is_one_that_prometheus_takes(tmp_path):
    token = tmp_path / "token"
    token.write_text("t")
    config = tmp_path / "prometheus.yml"
    config.write_text(text_of(os.path.join(FOLDER, "prometheus.yml")).replace("/run/freshet/admin.token", str(token)))
    shutil.copy(RULES, tmp_path)
    done = subprocess.run(["promtool", "check", "config", "--lint-fatal", str(config)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_grafana_dashboard_has_panels_that_do_not_overlap_and_expressions_that_are_ones(tmp_path):
    with open(os.path.join(TOP, "deploy", "grafana", "freshet.json"), encoding="utf-8") as f:
        dashboard = json.load(f)
    panels, taken, rules = dashboard["panels"], set(), []
    assert len({p["id"] for p in panels}) == len(panels) >= 10
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
        rules += [{"record": f"panel:{panel['id']}:{t['refId'].lower()}", "expr": t["expr"]} for t in panel["targets"]]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    recorded = set(re.findall(r"freshet:\w+:?\w*", text_of(RULES)))
    assert set(re.findall(r"freshet:\w+:?\w*", json.dumps(dashboard))) <= recorded


def metric_names(text):
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in
            re.findall(r"\b((?:freshet|ingestd|transcoderd|originD|edged)_[a-z0-9_]+)\b(?!\s*:)", text)}


def declared():
    out = set()
    for folder in ("common", "proto", *JOBS):
        for path in glob.glob(os.path.join(TOP, folder, "**", "*.c"), recursive=True):
            out |= set(re.findall(r'"((?:freshet|ingestd|transcoderd|originD|edged)_[a-z0-9_]+)"', text_of(path)))
    return out


@pytest.mark.parametrize("path", ["deploy/prometheus/rules.yml", "deploy/grafana/freshet.json", "deploy/operator/view.py"])
def test_every_metric_that_is_named_is_one_that_a_daemon_has(path):
    assert metric_names(text_of(os.path.join(TOP, path))) - declared() == set()


@pytest.mark.parametrize("where", ["rules", "view"])
def test_every_alert_is_in_the_runbook(where):
    rows = set(re.findall(r'<a id="(\w+)"></a>', text_of(os.path.join(TOP, "docs", "operations.md"))))
    if where == "rules":
        wanted = set(re.findall(r"operations\.md#(\w+)", text_of(RULES)))
        assert len(wanted) >= len(set(alerts())) - 1
    else:
        wanted = {a.lower() for a in re.findall(r'"(Freshet[A-Z]\w+)"', text_of(os.path.join(TOP, "deploy", "operator", "view.py")))}
    assert wanted - rows == set()
