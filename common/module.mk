# common: what every daemon is made of. Flat: values, bytes, threads, keys and connections to others' servers.
#   cluster/  nodes of other tiers: found, chosen, asked and shown who one is
#   daemon/   what makes a process one that can be operated: configuration, log, metrics, the admin port, life and end
common_SRCS := common/aac_data.c common/address.c common/avc.c common/buf.c common/bytes.c common/clock.c \
               common/cluster/cluster.c common/cluster/cluster_certs.c common/cluster/distance.c common/cluster/long_way.c \
               common/cluster/nng_clock.c common/cluster/nng_fix.c common/cluster/nng_tcp.c common/cluster/peer_clock.c \
               common/cluster/peers.c common/cluster/ring.c common/cluster/rpc_callers.c common/cluster/rpc_client.c \
               common/cluster/rpc_fault.c common/cluster/rpc_gate.c common/cluster/rpc_handshakes.c common/cluster/rpc_lines.c \
               common/cluster/rpc_server.c common/cluster/rpc_tls.c common/cluster/rpc_traffic.c common/cluster/sp_frames.c \
               common/cluster/under_way.c common/cors.c common/cue.c common/daemon/admin.c common/daemon/admin_answer.c \
               common/daemon/admin_call.c common/daemon/admin_loop.c common/daemon/admin_port.c common/daemon/config.c \
               common/daemon/config_list.c \
               common/daemon/config_names.c common/daemon/config_secret.c common/daemon/config_value.c common/daemon/daemon.c \
               common/daemon/descriptors.c common/daemon/fatal.c common/daemon/healthcheck.c common/daemon/log.c \
               common/daemon/log_json.c common/daemon/log_site.c common/daemon/memory.c common/daemon/metrics.c \
               common/daemon/notify.c common/daemon/version.c common/err.c common/file_watch.c common/http_client.c \
               common/json_buf.c common/jwt.c common/mailbox.c common/mem.c common/networks.c common/pattern.c common/range.c \
               common/tls_server.c common/tls_stream.c common/tls_tickets.c common/token_keys.c
common_PKGS := libuv jansson libcrypto libcurl libmicrohttpd libssl libxxhash libisal
common_LDLIBS := -lnng
common_UNIT := aac_data admin avc buf bytes clock cluster_certs config cue daemon descriptors distance fatal file_watch \
               http_client jwt log log_site long_way mailbox memory metrics nng_clock peer_clock peers range ring rpc rpc_bounds \
               rpc_dialing rpc_handshakes rpc_leaving rpc_tell rpc_tls sp_frames tls_server tls_server_reload tls_tickets token_keys under_way
common_FUZZ := aac_data config jwt range sp_frames
common_TOOLS := rpc_cost
