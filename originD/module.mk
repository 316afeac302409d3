originD_SRCS := originD/main.c originD/api.c originD/box.c originD/index.c originD/disk.c originD/chunk_log.c originD/session.c \
                originD/session_json.c originD/eras.c originD/recover.c originD/store.c originD/retention.c originD/claim.c originD/put.c originD/turns.c originD/key.c \
                originD/serve.c originD/fetch.c originD/streams.c originD/peer_list.c originD/peer_link.c originD/compare.c originD/mend.c originD/copy.c originD/copy_track.c originD/repair.c originD/manifest.c originD/mpd.c originD/xml.c \
                originD/http.c originD/events.c originD/webhooks.c originD/webhooks_config.c originD/webhooks_file.c \
                originD/webhooks_peers.c originD/webhooks_queue.c originD/webhooks_send.c originD/range.c originD/stats.c
originD_PKGS := libuv jansson libmicrohttpd libxxhash libcrypto
originD_LDLIBS := -lnng
originD_UNIT := box eras chunk_log claim turns peer_list compare repair store serve mpd events webhooks
originD_FUZZ := box origin_key peer_list
originD_TOOLS := put_file
