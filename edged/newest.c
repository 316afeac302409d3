#include "edged/newest.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define ID_LEN 25 /* 20260131T123456Z-1a2b3c4d */

static bool is_id(const uint8_t *p)
{
        static const char shape[] = "ddddddddTddddddZ-xxxxxxxx";
        for (size_t i = 0; i < ID_LEN; i++) {
                bool digit = p[i] >= '0' && p[i] <= '9';
                bool good = shape[i] == 'd'   ? digit
                            : shape[i] == 'x' ? digit || (p[i] >= 'a' && p[i] <= 'f')
                                              : p[i] == shape[i];
                if (!good)
                        return false;
        }
        return true;
}

bool newest_find(const uint8_t *bytes, size_t len, char session[SESSION_ID_MAX + 1])
{
        for (size_t i = 0; i + ID_LEN < len; i++) {
                bool begins = i == 0 || bytes[i - 1] == '"' || bytes[i - 1] == '\n';
                if (!begins || bytes[i + ID_LEN] != '/' || !is_id(bytes + i))
                        continue;
                memcpy(session, bytes + i, ID_LEN);
                session[ID_LEN] = 0;
                return true;
        }
        return false;
}

static size_t place_of_stream(const char *stream)
{
        return XXH3_64bits(stream, strlen(stream)) % NEWEST_STREAMS;
}

bool newest_is_old(const struct newest *n, const char *stream, const char *session)
{
        size_t at = place_of_stream(stream);
        return strcmp(n->seen[at].stream, stream) == 0 && strcmp(session, n->seen[at].session) < 0;
}

void newest_saw(struct newest *n, const char *stream, const char *session)
{
        size_t at = place_of_stream(stream);
        snprintf(n->seen[at].stream, sizeof(n->seen[at].stream), "%s", stream);
        snprintf(n->seen[at].session, sizeof(n->seen[at].session), "%s", session);
}
