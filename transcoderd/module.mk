transcoderd_SRCS := transcoderd/main.c transcoderd/api.c transcoderd/chain.c transcoderd/claim.c transcoderd/feed.c transcoderd/feeder.c transcoderd/origins.c \
                    transcoderd/push.c transcoderd/push_join.c transcoderd/push_owner.c transcoderd/push_queue.c \
                    transcoderd/recent.c transcoderd/serve.c transcoderd/session.c \
                    transcoderd/stats.c \
                    transcoderd/audio.c transcoderd/audio_rung.c transcoderd/cadence.c transcoderd/decode.c \
                    transcoderd/encode.c transcoderd/grid.c transcoderd/intake.c transcoderd/ladder.c \
                    transcoderd/outlet.c transcoderd/package.c transcoderd/pcm.c transcoderd/pipeline.c \
                    transcoderd/queue.c transcoderd/resume.c transcoderd/scale.c transcoderd/shed.c \
                    transcoderd/slate.c transcoderd/video.c
transcoderd_PKGS := libuv jansson libavcodec libavformat libavutil libswscale libswresample libxxhash
transcoderd_UNIT := ladder grid package pipeline audio claiming push push_owners recent session shadow
# fake_origin: takes what is stored, and fails as told. feed_file: a proxy with a file for a broadcaster.
transcoderd_TOOLS := pipeline_file fake_origin feed_file
