transcoderd_SRCS := transcoderd/api.c transcoderd/beginnings.c transcoderd/broadcaster.c transcoderd/capacity.c \
                    transcoderd/encode/audio.c transcoderd/encode/audio_rung.c transcoderd/encode/cadence.c \
                    transcoderd/encode/captions.c transcoderd/encode/cost.c transcoderd/encode/cues.c transcoderd/encode/decode.c \
                    transcoderd/encode/deinterlace.c transcoderd/encode/grid.c transcoderd/encode/intake.c \
                    transcoderd/encode/job.c transcoderd/encode/jpeg.c transcoderd/encode/ladder.c \
                    transcoderd/encode/media_clock.c transcoderd/encode/outlet.c transcoderd/encode/package.c \
                    transcoderd/encode/pcm.c transcoderd/encode/picture_boxes.c transcoderd/encode/pipeline.c \
                    transcoderd/encode/precedence.c transcoderd/encode/queue.c transcoderd/encode/reaper.c \
                    transcoderd/encode/scale.c transcoderd/encode/shed.c transcoderd/encode/slate.c transcoderd/encode/slow.c \
                    transcoderd/encode/sound.c transcoderd/encode/sps.c transcoderd/encode/stereo.c transcoderd/encode/thumbs.c \
                    transcoderd/encode/video.c transcoderd/encode/video_rung.c transcoderd/main.c transcoderd/opens.c \
                    transcoderd/pace.c transcoderd/proxies.c transcoderd/push/chain.c transcoderd/push/claim.c \
                    transcoderd/push/origins.c transcoderd/push/push.c transcoderd/push/push_join.c transcoderd/push/push_owner.c \
                    transcoderd/push/push_queue.c transcoderd/push/recent.c transcoderd/session.c transcoderd/sessions.c \
                    transcoderd/starts.c transcoderd/stats.c
transcoderd_PKGS := libuv jansson libavcodec libavfilter libavformat libavutil libswscale libswresample libxxhash
transcoderd_UNIT := audio cadence captions claiming deinterlace goes_on grid intake ladder package picture_cues pictures pipeline pipeline_close \
                    pipeline_faults pipeline_fill pipeline_open pipeline_pace pipeline_resume push push_owners push_window recent scale session session_backup \
                    session_clocks session_end session_room shadow sound starts stereo thumbs video_rung
transcoderd_FUZZ := sps
# fake_origin: takes what is stored, and fails as told. feed_file: a proxy with a file for a broadcaster.
transcoderd_TOOLS := pipeline_file fake_origin feed_file
