/* What events.json holds of an event and of what was told of a session. What can be read is written as it was read. */
#include <assert.h>
#include <string.h>

#include "originD/events.h"

static int same(const struct event *e)
{
        struct event again;
        json_t *j = event_to_json(e);
        int err = event_from_json(&again, j);
        json_decref(j);
        return !err && !strcmp(again.id, e->id) && !strcmp(again.stream, e->stream) && !strcmp(again.session, e->session) &&
               !strcmp(again.title, e->title) && !strcmp(again.node, e->node) && !strcmp(again.before, e->before) &&
               again.kind == e->kind && again.generation == e->generation && again.media_us == e->media_us &&
               again.wall_us == e->wall_us && again.by_writer == e->by_writer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct event e;
        struct told told;
        json_t *j = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, NULL);
        if (event_from_json(&e, j) == 0) {
                struct buf *body = event_body(&e, "o1");
                json_t *sent = json_loadb((const char *)body->data, body->len, 0, NULL);
                assert(sent && same(&e));
                json_decref(sent);
                buf_unref(&body);
        }
        if (told_from_json(&told, j) == 0)
                assert(strlen(told.node) < sizeof(told.node));
        json_decref(j);
        return 0;
}
