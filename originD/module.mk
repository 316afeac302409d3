originD_SRCS := originD/main.c originD/api.c originD/session.c originD/session_json.c originD/eras.c originD/store.c \
               originD/retention.c originD/claim.c originD/put.c originD/serve.c originD/fetch.c originD/streams.c \
               originD/manifest.c originD/mpd.c originD/xml.c originD/http.c originD/events.c originD/webhooks.c \
               originD/webhooks_config.c originD/webhooks_file.c originD/webhooks_peers.c originD/webhooks_queue.c \
               originD/webhooks_send.c originD/stats.c originD/startup.c originD/shadow_turns.c originD/track.c \
               originD/askers.c originD/log/box.c originD/log/index.c originD/log/disk.c originD/log/chunk_log.c \
               originD/log/pool.c originD/log/volume.c originD/log/volumes.c originD/log/index_cache.c \
               originD/replica/catalog.c originD/replica/catch_up.c originD/replica/compare.c originD/replica/fills.c originD/replica/incoming.c originD/replica/copy_session.c \
               originD/replica/copy_track.c originD/replica/peer_link.c
originD_PKGS := libuv jansson libmicrohttpd libxxhash libcrypto
originD_LDLIBS := -lnng
originD_UNIT := box eras chunk_log claim shadow_turns catalog compare catch_up fills store serve mpd events webhooks disk askers \
               volume
originD_FUZZ := box session_json catalog
originD_TOOLS := store_bench put_file store_writer
# archive/: closed volumes in an object store
originD_SRCS += originD/archive/archive.c originD/archive/s3.c originD/archive/s3_config.c originD/archive/s3_text.c originD/archive/sigv4.c
originD_UNIT += s3 sigv4
originD_FUZZ += s3_text
originD_TOOLS += archive_volume
# a recording as one file
originD_SRCS += originD/recording.c originD/recording_find.c
originD_UNIT += recording
originD_FUZZ += recording
originD_TOOLS += join_recording
