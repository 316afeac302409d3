ingestd_SRCS := ingestd/amf0.c ingestd/flv.c ingestd/rtmp_chunk.c ingestd/rtmp_close.c ingestd/rtmp_command.c \
                ingestd/rtmp_handshake.c ingestd/rtmp_name.c ingestd/rtmp_server.c ingestd/rtmp_session.c
ingestd_PKGS := libuv libcrypto
ingestd_UNIT := amf0 flv rtmp_chunk rtmp_handshake rtmp_name rtmp_session
ingestd_FUZZ := amf0 flv rtmp_chunk rtmp_session
