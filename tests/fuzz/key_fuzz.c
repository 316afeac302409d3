/* The names of objects: what is taken apart is put together again to the very same text, so that an object has one name. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "proto/key.h"

static void write_key(const struct key *k, char *dst, size_t cap)
{
        char iso[CLOCK_ISO_MAX];
        switch (k->kind) {
        case KEY_NONE:
                abort();
        case KEY_STREAMS:
                snprintf(dst, cap, "/api/streams");
                break;
        case KEY_RECORDINGS:
                if (k->before_ms == INT64_MAX)
                        snprintf(dst, cap, "/api/recordings");
                else
                        snprintf(dst, cap, "/api/recordings/before/%s%s%s", clock_iso(iso, sizeof(iso), k->before_ms * US_PER_MS),
                                 *k->session ? "/" : "", k->session);
                break;
        case KEY_ENTRY:
                snprintf(dst, cap, "/live/%s/%s", k->stream, k->file);
                break;
        case KEY_MANIFEST:
                snprintf(dst, cap, "/live/%s/%s/%s", k->stream, k->session, k->file);
                break;
        case KEY_PLAYLIST:
                key_write_playlist(dst, k);
                break;
        case KEY_INIT:
                snprintf(dst, cap, "/live/%s/%s/%s/init.mp4", k->stream, k->session, k->track);
                break;
        case KEY_SEGMENT:
                snprintf(dst, cap, "/live/%s/%s/%s/%u.m4s", k->stream, k->session, k->track, k->segment);
                break;
        case KEY_RECORDING:
                snprintf(dst, cap, "/live/%s/%s%s%s/recording.mp4", k->stream, k->session, *k->track ? "/" : "", k->track);
                break;
        case KEY_PEER_ENDED:
                snprintf(dst, cap, "/peer/ended/%" PRIu64, k->since);
                break;
        case KEY_PEER_LIVE:
                snprintf(dst, cap, "/peer/live/%" PRIu64, k->since);
                if (*k->session)
                        snprintf(dst + strlen(dst), cap - strlen(dst), "/%" PRIi64 "/%s", k->before_ms, k->session);
                break;
        case KEY_PEER_SESSION:
                snprintf(dst, cap, "/peer/session/%s", k->session);
                if (k->below != UINT64_MAX)
                        snprintf(dst + strlen(dst), cap - strlen(dst), "/%" PRIu64, k->below);
                break;
        case KEY_PEER_EVENTS:
                snprintf(dst, cap, "/peer/events");
                break;
        case KEY_NAMES:
                snprintf(dst, cap, "/names/%" PRIu64 "/%" PRIu64, k->instance, k->since);
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        char *text = malloc(len + 1), again[KEY_MAX + 1];
        struct key k;
        memcpy(text, data, len);
        text[len] = 0;
        key_parse(&k, text);
        if (k.kind) {
                write_key(&k, again, sizeof(again));
                assert(strcmp(text, again) == 0);
                assert(!key_bad_page(text));
        } else {
                assert(!k.stream[0] && !k.session[0] && !k.track[0] && !k.file && !k.before_ms);
        }
        free(text);
        return 0;
}
