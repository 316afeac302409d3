ingestd_SRCS := ingestd/acknowledged.c ingestd/admission.c ingestd/amf0.c ingestd/amf3.c ingestd/amf_cue.c ingestd/amf_value.c \
                ingestd/api.c ingestd/broadcast.c ingestd/budget.c ingestd/cues.c ingestd/early.c ingestd/flv.c \
                ingestd/generations.c ingestd/guesses.c ingestd/handshakes.c ingestd/hold.c ingestd/main.c \
                ingestd/newcomers.c ingestd/peer_address.c ingestd/proxy_header.c ingestd/publication.c ingestd/publications.c \
                ingestd/publish_auth.c ingestd/publish_webhook.c ingestd/redundancy_config.c ingestd/refusal.c ingestd/relay.c \
                ingestd/relay_ending.c ingestd/relay_media.c ingestd/relay_opening.c ingestd/relay_pair.c ingestd/relay_roles.c \
                ingestd/relay_state.c ingestd/replay.c ingestd/rtmp_chunk.c \
                ingestd/rtmp_close_reason.c ingestd/rtmp_command.c ingestd/rtmp_commands.c ingestd/rtmp_conn.c ingestd/rtmp_handshake.c \
                ingestd/rtmp_media.c ingestd/rtmp_name.c ingestd/rtmp_reads.c ingestd/rtmp_say.c ingestd/rtmp_server.c \
                ingestd/rtmp_session.c ingestd/rtmp_turns.c ingestd/rtmp_wire.c ingestd/shipment.c ingestd/stats.c ingestd/timeline.c \
                ingestd/transcoders.c ingestd/turnstile.c ingestd/walk.c
ingestd_PKGS := libuv jansson libcrypto libssl libcurl
ingestd_UNIT := acknowledged admission amf0 amf3 amf_cue budget cues early flv generations guesses handshakes hold newcomers \
                proxy_header publication publication_backup publication_batches publication_hold publication_moves publish_auth \
                redundancy_config relay_pair replay rtmp_chunk rtmp_encoders rtmp_handshake rtmp_name rtmp_reads rtmp_refusals rtmp_rounds \
                rtmp_session rtmp_turns rtmp_wire timeline transcoders turnstile walk
ingestd_FUZZ := amf0 flv proxy_header rtmp_chunk rtmp_handshake rtmp_session
# fake_transcoder: takes what ingestd relays and counts it. rtmp_load: many publishers in one process.
# rtmp_floor: what merely reading those publishers' sockets costs. The last two: tests/bench/ingest.py
ingestd_TOOLS := fake_transcoder rtmp_load rtmp_floor
