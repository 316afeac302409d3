/* The names of objects: what is taken apart is put together again to the very same text, so that an object has one name. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "proto/key.h"
#include "proto/store.h"

/* A still's name says more than the key does: every how many seconds there is one. */
static void write_picture(const struct key *k, const char *text, char *dst, size_t cap)
{
        const char *x = strrchr(text, 'x');
        unsigned every_s = x ? (unsigned)strtoul(x + 1, NULL, 10) : 0;
        if (strcmp(k->track, PICTURES_TRACK) == 0)
                snprintf(dst, cap, "/live/%s/%s/%s/%ux%u.jpg", k->stream, k->session, k->track, every_s ? k->segment / every_s : 0, every_s);
        else
                snprintf(dst, cap, "/live/%s/%s/%s/%u.key.m4s", k->stream, k->session, k->track, k->segment);
}

static void write_key(const struct key *k, const char *text, char *dst, size_t cap)
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
                if (k->classic || k->keys)
                        snprintf(dst, cap, "/live/%s/%s/%s/%s.m3u8", k->stream, k->session, k->track, k->classic ? "classic" : "keys");
                else
                        key_write_playlist(dst, k);
                break;
        case KEY_PICTURE:
                write_picture(k, text, dst, cap);
                break;
        case KEY_INIT:
                snprintf(dst, cap, "/live/%s/%s/%s/init.mp4", k->stream, k->session, k->track);
                break;
        case KEY_SEGMENT:
                if (k->joined)
                        snprintf(dst, cap, "/live/%s/%s/%s/%ux%u.m4s", k->stream, k->session, k->track, k->segment / k->joined, k->joined);
                else
                        snprintf(dst, cap, "/live/%s/%s/%s/%u.m4s", k->stream, k->session, k->track, k->segment);
                break;
        case KEY_FACTS:
        case KEY_PIECE:
        case KEY_RECORDING:
                key_write_recording(dst, k);
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
                write_key(&k, text, again, sizeof(again));
                assert(strcmp(text, again) == 0);
                assert(!key_bad_page(text));
        } else {
                assert(!k.stream[0] && !k.session[0] && !k.track[0] && !k.file && !k.before_ms);
        }
        free(text);
        return 0;
}
