/* viewers.c - how many watch each stream at this site (edged/crowd.h): for pages that show it. Who asks is told of streams that he may
 * watch, of the first AUDIENCE_STREAMS. */
#include <stdio.h>

#include "common/mem.h"
#include "edged/routes/ask.h"

#define ROW_MAX_BYTES (STREAM_ID_MAX + 40)

/* Viewers are those who fetch pictures; of a stream that is sound alone, or is mostly heard, those who fetch sound. */
static unsigned viewers_of(const struct audience_row *r)
{
        uint32_t tenths = r->tenths[AUDIENCE_PICTURE] > r->tenths[AUDIENCE_SOUND] ? r->tenths[AUDIENCE_PICTURE] : r->tenths[AUDIENCE_SOUND];
        return tenths / 10 + (tenths % 10 >= 5); /* it may be the most there is (crowd.h) */
}

static void say_viewers(struct ask *a)
{
        struct audience_row rows[AUDIENCE_STREAMS + 1];
        if (!a->http->cfg.tells_viewers || !a->http->parts.crowd) {
                ask_say_error(a, RESPOND_NOT_FOUND);
                return;
        }
        size_t count = crowd_rows(a->http->parts.crowd, rows), len = 0, max = 32 + count * ROW_MAX_BYTES;
        char *text = mem_alloc(max);
        len += (size_t)snprintf(text, max, "{\"viewers\":[");
        bool any = false;
        for (size_t i = 0; i < count; i++) {
                unsigned viewers = viewers_of(&rows[i]);
                if (!rows[i].stream[0] || !viewers || ask_admit(a, rows[i].stream) != ACCESS_OK)
                        continue;
                len += (size_t)snprintf(text + len, max - len, "%s{\"id\":\"%s\",\"count\":%u}", any ? "," : "", rows[i].stream, viewers);
                any = true;
        }
        snprintf(text + len, max - len, "]}\n");
        ask_say_once(a, respond_json(text));
}

const struct route route_viewers = {.begin = say_viewers};
