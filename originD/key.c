/* The names of objects, taken apart: the public URL space, and what origins tell each other (catalog.h). */
#include <string.h>

#include "originD/serve.h"

#define PARTS_MAX 6
#define PART_MAX 64

/* "/a/b/c" into parts. Returns how many; 0 when a part is empty or too long, or there are too many. */
static size_t split(const char *text, char parts[PARTS_MAX][PART_MAX + 1])
{
        size_t n = 0;
        while (*text == '/') {
                size_t len = strcspn(++text, "/");
                if (n == PARTS_MAX || len == 0 || len > PART_MAX)
                        return 0;
                memcpy(parts[n], text, len);
                parts[n++][len] = '\0';
                text += len;
        }
        return *text ? 0 : n;
}

/* Digits without leading zeros, then the suffix: an object has one name only. */
static int parse_number(const char *s, const char *suffix, uint32_t *out)
{
        uint64_t v = 0;
        if (*s < '0' || *s > '9' || (s[0] == '0' && s[1] >= '0' && s[1] <= '9'))
                return 0;
        for (; *s >= '0' && *s <= '9'; s++) {
                v = v * 10 + (uint64_t)(*s - '0');
                if (v > UINT32_MAX)
                        return 0;
        }
        *out = (uint32_t)v;
        return strcmp(s, suffix) == 0;
}

static void parse_media(struct key *k, char parts[PARTS_MAX][PART_MAX + 1])
{
        if (!track_name_valid(parts[3]))
                return;
        strcpy(k->track, parts[3]);
        if (strcmp(parts[4], "init.mp4") == 0)
                k->kind = KEY_INIT;
        else if (parse_number(parts[4], ".m4s", &k->segment))
                k->kind = KEY_SEGMENT;
}

static void parse_peer(struct key *k, size_t n, char parts[PARTS_MAX][PART_MAX + 1])
{
        if (n == 2 && strcmp(parts[1], "sessions") == 0)
                k->kind = KEY_PEER_SESSIONS;
        else if (n == 2 && strcmp(parts[1], "live") == 0)
                k->kind = KEY_PEER_LIVE;
        else if (n == 2 && strcmp(parts[1], "events") == 0)
                k->kind = KEY_PEER_EVENTS;
        else if (n == 3 && strcmp(parts[1], "session") == 0 && session_id_valid(parts[2])) {
                k->kind = KEY_PEER_SESSION;
                strcpy(k->session, parts[2]);
        }
}

void key_parse(struct key *k, const char *text)
{
        char parts[PARTS_MAX][PART_MAX + 1];
        size_t n = split(text, parts);
        *k = (struct key){.kind = KEY_NONE};
        if (n == 2 && strcmp(parts[0], "api") == 0 && strcmp(parts[1], "streams") == 0) {
                k->kind = KEY_STREAMS;
                return;
        }
        if (n && strcmp(parts[0], "peer") == 0) {
                parse_peer(k, n, parts);
                return;
        }
        if (n < 3 || n > 5 || strcmp(parts[0], "live") != 0 || !stream_id_valid(parts[1]))
                return;
        strcpy(k->stream, parts[1]);
        if (n == 3) {
                k->format = manifest_format(parts[2]);
                k->kind = k->format ? KEY_ENTRY : KEY_NONE;
                return;
        }
        if (!session_id_valid(parts[2]))
                return;
        strcpy(k->session, parts[2]);
        if (n == 4) {
                k->format = manifest_format(parts[3]);
                k->kind = k->format ? KEY_MANIFEST : KEY_NONE;
        } else {
                parse_media(k, parts);
        }
}
