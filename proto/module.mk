proto_SRCS := proto/message.c proto/hello.c proto/may.c proto/media.c proto/store.c proto/fetch.c proto/generation.c proto/key.c
proto_PKGS := libcrypto
proto_LDLIBS := -lnng
proto_UNIT := proto may key generation
proto_FUZZ := wire key
