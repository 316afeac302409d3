originD_SRCS := originD/age_clock.c originD/api.c originD/askers.c originD/by_start.c originD/captions.c originD/classic.c \
                originD/column.c originD/copied.c originD/cues.c originD/eras.c originD/events.c originD/fetch.c originD/gaps.c originD/http.c \
                originD/joined.c originD/keyframe.c originD/layouts.c originD/m3u8.c originD/main.c originD/manifest.c originD/mpd.c \
                originD/multivariant.c originD/names.c originD/ondemand.c originD/picture.c originD/playlist.c originD/recording.c \
                originD/recording_find.c originD/recording_tracks.c originD/removals.c originD/retention.c originD/room.c \
                originD/sample_tables.c originD/scrub.c originD/serve.c originD/serve_look.c originD/serve_picture.c originD/serve_recording.c originD/session.c \
                originD/session_json.c originD/session_load.c originD/session_save.c originD/shadow_turns.c originD/space.c originD/stand_in.c \
                originD/startup.c originD/stats.c originD/store.c originD/store_claim.c originD/store_lists.c \
                originD/store_start.c originD/streams.c originD/track.c originD/trimming.c originD/webhooks.c \
                originD/webhooks_config.c originD/webhooks_file.c originD/webhooks_peers.c originD/webhooks_queue.c \
                originD/webhooks_send.c originD/writers.c originD/writers_put.c originD/xml.c
originD_SRCS += originD/log/box.c originD/log/chunk_log.c originD/log/chunk_log_archive.c originD/log/chunk_log_cut.c \
                originD/log/chunk_log_read.c \
                originD/log/chunk_log_volumes.c originD/log/disk.c originD/log/file.c originD/log/heads.c originD/log/index.c \
                originD/log/index_cache.c originD/log/kept_files.c originD/log/pool.c originD/log/records.c originD/log/survey.c originD/log/volume.c \
                originD/log/volumes.c originD/log/volumes_file.c
originD_SRCS += originD/replica/absence.c originD/replica/catalog.c originD/replica/catch_up.c \
                originD/replica/catch_up_lacks.c originD/replica/catch_up_partners.c originD/replica/compare.c \
                originD/replica/copy_segments.c originD/replica/copy_session.c originD/replica/copy_track.c originD/replica/fills.c \
                originD/replica/fills_bring.c originD/replica/fills_wanted.c originD/replica/incoming.c originD/replica/peer_link.c \
                originD/replica/read_ahead.c
originD_SRCS += originD/archive/archive.c originD/archive/archiver.c originD/archive/discards.c originD/archive/piece.c \
                originD/archive/s3.c originD/archive/s3_config.c originD/archive/s3_text.c originD/archive/sigv4.c originD/archive/transfer.c
originD_PKGS := libuv jansson libmicrohttpd libxxhash libcrypto
originD_LDLIBS := -lnng
originD_UNIT := age_clock askers box captions_seen catalog catch_up catch_up_others chunk_log column chunk_log_archive chunk_log_cut \
                chunk_log_volumes claim compare cues_told damage discards disk end eras events fills hls kept_files mpd \
                ondemand origin_http picture piece recording recording_find removals reread retention room s3 scrub serve serve_names \
                serve_old serve_recording serve_start session_json session_open session_save shadow_turns shadow_turns_walk sigv4 space stand_in startup \
                store streams trimming volume volume_damage volumes_file webhooks
originD_FUZZ := box catalog events recording s3_text session_json volume volumes_file
originD_TOOLS := archive_volume join_recording make_store put_file store_writer

# In one unit time stands still until it is moved on
%/tests/kept_files: LDFLAGS += -Wl,--wrap=clock_mono_us

# In units of two origins time is the test's: two_origins.h
$(patsubst tests/unit/%_test.c,\%/tests/%,$(shell grep -l '"tests/unit/two_origins.h"' tests/unit/*_test.c)): LDFLAGS += -Wl,--wrap=clock_mono_us
