#!/usr/bin/env python3
"""Cached objects over HTTPS: edged beside nginx, which serves the same bytes as files in memory, one server thread each, TLS 1.3 and the same
suite, an ECDSA certificate; all by wrk on 64 keep-alive connections, in alternating rounds of one run, without TLS as well. And connections
that ask once: a handshake each, whole or by a ticket (openssl s_time). CPU of the server a request is what says the same on a machine that is
busy with other things. At the end, what a connection that rests costs in memory."""
import argparse
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys

from rig import Aims, Rig, Server, body_of, cores, get, loaded, ratio, turns, wait_for

SIZES = {"3 KB": 3000, "312 KB": 319488}


def certificate(rig):
    where = rig.directory / "certs"
    where.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=x",
                    "-keyout", where / "tls.key", "-out", where / "tls.crt"], check=True, capture_output=True)
    return where


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def nginx(rig, certs, port):
    """The files of rig.nginx() once more, by TLS; its process."""
    (rig.directory / "tls.conf").write_text(f"""
        daemon off; worker_processes 1; pid {rig.directory}/tls.pid; error_log {rig.directory}/tls-error.log; user root;
        events {{ worker_connections 16384; multi_accept on; }}
        http {{
          access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 100000000; open_file_cache max=100; types {{ video/mp4 m4s; }}
          ssl_certificate {certs}/tls.crt; ssl_certificate_key {certs}/tls.key; ssl_protocols TLSv1.3; ssl_session_cache off; ssl_session_tickets on;
          server {{ listen 127.0.0.1:{port} ssl backlog=4096; root {rig.memory}/root; }}
        }}""")
    process = rig.spawn([shutil.which("nginx") or "/usr/sbin/nginx", "-p", rig.directory, "-c", rig.directory / "tls.conf"], cores()[0],
                        stderr=subprocess.DEVNULL)
    server = Server("nginx", process, f"https://127.0.0.1:{port}")
    wait_for(lambda: fetch(port, "/3000.m4s"), "nginx is ready")
    return server


def fetch(port, path):
    with context().wrap_socket(socket.create_connection(("127.0.0.1", port))) as c:
        c.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while piece := c.recv(1 << 18):
            got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    return body if head.startswith(b"HTTP/1.1 200") else None


def measured(server, argv, pattern):
    """(a second, server CPU µs each) of what the tool says it did."""
    (count, seconds), spent = loaded(server, argv, pattern)
    return int(count) / float(seconds), 1e6 * spent / int(count)


def wrk(server, base, path, args):
    return measured(server, ["wrk", "-t1", "-c64", f"-d{args.seconds}s", base + path], r"(\d+) requests in ([\d.]+)")


def connects(server, path, args, kind):
    argv = ["openssl", "s_time", "-connect", server.base.partition("//")[2], "-www", path, kind, "-time", args.seconds]
    return measured(server, argv, r"(\d+) connections in (\d+) real seconds")


def table(rows, args, run, aims):
    """rows: {name: what run() is given}. Prints medians, and what edged's costs beside nginx's and its own without TLS."""
    seen = {name: [] for name in rows}
    for name in turns(list(rows), args.rounds):
        seen[name].append(run(*rows[name]))
    costs = {name: [row[1] for row in found] for name, found in seen.items()}
    for name, found in seen.items():
        print(f"  {name:22} {statistics.median(row[0] for row in found):9.0f} a second {statistics.median(costs[name]):9.1f} µs of CPU", flush=True)
    for name in rows:
        if name != "edged":
            print(f"  edged, of {name}: {ratio(costs, 'edged', name):.2f} × its CPU", flush=True)
    return ratio(costs, "nginx", "edged")


def rests(rig, server, port, count):
    """Bytes of the server a connection that was answered once and rests."""
    def more():
        c = context().wrap_socket(socket.create_connection(("127.0.0.1", port)))
        c.sendall(b"HEAD /3000.m4s HTTP/1.1\r\nHost: x\r\n\r\n")
        c.recv(4096)
        return c
    kept = [more() for _ in range(50)]
    before = memory(server)
    kept += [more() for _ in range(count)]
    return (memory(server) - before) / count


def memory(server):
    def of(pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) * 1024
    return sum(map(of, server.pids()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2, help="of one round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    for tool in ("wrk", "taskset", "openssl"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: deploy/install-deps --test")
    aims = Aims()
    with Rig("tls") as rig:
        certs, port = certificate(rig), rig.port()
        edge = rig.edge([rig.origin()], {"https_certs": certs, "https_port": port, "handshakes_per_s": 0})
        plain, other = rig.nginx(list(SIZES.values()))[1], nginx(rig, certs, rig.port())
        secure = Server("edged", edge.process, f"https://127.0.0.1:{port}")
        for what, size in SIZES.items():
            path = f"/live/whole_{size}/s/v720/1.m4s"
            get(edge.base + path)
            if fetch(port, path) != body_of(size) or fetch(other.port, f"/{size}.m4s") != body_of(size):
                sys.exit("other bytes are served")
            print(f"{what}, keep-alive, 64 connections, median of {args.rounds} rounds of {args.seconds} s")
            rows = {"edged": (secure, secure.base, path, args), "nginx": (other, other.base, f"/{size}.m4s", args),
                    "edged without TLS": (edge, edge.base, path, args), "nginx without TLS": (plain, plain.base, f"/{size}.m4s", args)}
            aims.least(f"{what}: of nginx with TLS, by CPU", table(rows, args, wrk, aims), 1.0)
        for words, kind in (("whole", "-new"), ("by a ticket", "-reuse")):
            print(f"connections that ask for 3 KB once, handshakes {words}")
            rows = {"edged": (secure, "/live/whole_3000/s/v720/1.m4s", args, kind), "nginx": (other, "/3000.m4s", args, kind)}
            aims.least(f"handshakes {words}: of nginx, by CPU", table(rows, args, connects, aims), 1.0)
        print(f"a connection that rests: {rests(rig, edge, port, 500) / 1000:.1f} kB of edged, {rests(rig, other, other.port, 500) / 1000:.1f} kB of nginx")
        print(f"encrypted by the kernel: {edge.metric('edged_tls_by_kernel_total'):.0f} of {edge.metric('edged_tls_handshakes_total'):.0f} handshakes")
    aims.print()


if __name__ == "__main__":
    main()
