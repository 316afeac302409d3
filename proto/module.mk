proto_SRCS := proto/message.c proto/hello.c proto/media.c proto/store.c proto/fetch.c
proto_PKGS := libcrypto
proto_LDLIBS := -lnng
proto_UNIT := proto
proto_FUZZ := wire
