common_SRCS := common/address.c common/admin.c common/buf.c common/bytes.c common/clock.c common/cluster.c common/cluster_certs.c common/config.c common/config_secret.c common/config_value.c \
               common/daemon.c common/err.c common/file_watch.c common/healthcheck.c common/http_client.c common/jwt.c common/log.c common/log_json.c common/mailbox.c common/mem.c common/metrics.c \
               common/nng_fix.c common/notify.c common/pattern.c common/peers.c \
               common/ring.c common/rpc_client.c common/rpc_server.c common/rpc_fault.c common/rpc_gate.c common/rpc_tls.c common/tls_server.c common/tls_stream.c common/version.c
common_PKGS := libuv jansson libcrypto libcurl libmicrohttpd libssl libxxhash
common_LDLIBS := -lnng
common_UNIT := admin buf bytes clock cluster_certs config daemon file_watch http_client jwt log mailbox metrics peers ring rpc rpc_tls tls_server
common_FUZZ := config jwt
common_TOOLS := rpc_cost
