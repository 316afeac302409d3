proto_SRCS := proto/ahead.c proto/check.c proto/message.c proto/hello.c proto/may.c proto/media.c proto/store.c proto/fetch.c \
              proto/generation.c proto/key.c proto/reload.c proto/names.c proto/parts.c
proto_PKGS := libcrypto libxxhash
proto_LDLIBS := -lnng
proto_UNIT := ahead generation hello key may names parts proto wire_corpus
proto_FUZZ := wire key names
