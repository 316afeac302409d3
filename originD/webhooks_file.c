#include "originD/webhooks_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/json_buf.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/session_json.h"

#define FILE_VERSION 1
#define KEY_TEXT 17

static void key_text(char dst[KEY_TEXT], uint64_t key)
{
        snprintf(dst, KEY_TEXT, "%016llx", (unsigned long long)key);
}

static bool key_parse_text(const json_t *text, uint64_t *key)
{
        char *end = NULL;
        const char *s = json_string_value(text);
        *key = s ? strtoull(s, &end, 16) : 0;
        return s && strlen(s) == KEY_TEXT - 1 && *end == '\0';
}

static json_t *settled_json(const struct webhooks *w)
{
        json_t *list = json_array();
        for (size_t i = 0; i < w->settled_count; i++) {
                const struct settled *s =
                        &w->settled[(w->settled_next + WEBHOOKS_SETTLED_MAX - w->settled_count + i) % WEBHOOKS_SETTLED_MAX];
                char key[KEY_TEXT];
                key_text(key, s->hook);
                json_array_append_new(list, json_pack("[s, s]", s->id, key));
        }
        return list;
}

static json_t *told_json(const struct webhooks *w)
{
        json_t *told = json_object();
        for (const struct session *s = w->store->first_live; s; s = s->older) /* the end of the others was told */
                if (s->told.started && !s->told.ended)
                        json_object_set_new(told, s->id, told_to_json(&s->told));
        return told;
}

static json_t *waiting_json(const struct webhooks *w)
{
        json_t *list = json_array();
        for (const struct delivery *d = w->first; d; d = d->next) {
                char key[KEY_TEXT];
                key_text(key, d->hook);
                json_array_append_new(list, json_pack("{s:s, s:I, s:o}", "to", key, "since_us", (json_int_t)d->since_us,
                                                      "event", event_to_json(&d->event)));
        }
        return list;
}

/* Next to the file, where a person finds it. */
static bool set_aside(struct webhooks *w)
{
        char iso[CLOCK_ISO_MAX];
        char *aside = mem_printf("%s.unreadable-%s", w->path, clock_iso(iso, sizeof(iso), clock_real_us()));
        bool done = rename(w->path, aside) == 0 || errno == ENOENT;
        if (done)
                log_warn("path=%s msg=\"what could not be read of events.json is kept here\"", aside);
        else if (!w->unread)
                log_error("path=%s msg=\"cannot set it aside: events are not saved until that is possible\" error=\"%s\"", w->path,
                          strerror(errno));
        w->unread = !done;
        free(aside);
        return done;
}

static void saved(void *arg, int status)
{
        struct webhooks *w = arg;
        w->saving = false;
        if (status && !w->save_failed)
                log_warn("msg=\"cannot save events.json: events that wait now are lost if this process dies\" error=\"%s\"",
                         err_text(status));
        if (!status && w->save_failed)
                log_info("msg=\"events.json is saved again\"");
        w->save_failed = status;
        w->dirty |= status != 0;
        if (w->dirty && !status)
                webhooks_save(w);
}

void webhooks_save(struct webhooks *w)
{
        if (w->saving || !w->dirty || !w->store_ready || (w->unread && !set_aside(w)))
                return;
        w->saving = true;
        w->dirty = false;
        struct buf *text = json_to_buf(json_pack("{s:i, s:o, s:o, s:o}", "version", FILE_VERSION, "told", told_json(w), "waiting",
                                             waiting_json(w), "settled", settled_json(w)));
        disk_save(w->loop, w->path, text, 0, saved, w);
        buf_unref(&text);
}

/* Returns how many make no sense. */
static size_t read_waiting(struct webhooks *w, const json_t *list)
{
        size_t lost = 0;
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *j = json_array_get(list, i);
                int bad = 0;
                struct event e;
                uint64_t key;
                int64_t since_us = (int64_t)json_number(j, "since_us", INT64_MAX, &bad);
                if (!bad && key_parse_text(json_object_get(j, "to"), &key) && !event_from_json(&e, json_object_get(j, "event")))
                        webhooks_add(w, &e, key, w->options.now_us, since_us);
                else
                        lost++;
        }
        return lost;
}

void webhooks_read_settled(struct webhooks *w, const json_t *list)
{
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *j = json_array_get(list, i);
                const char *id = json_string_value(json_array_get(j, 0));
                uint64_t key;
                if (id && strlen(id) <= EVENT_ID_MAX && key_parse_text(json_array_get(j, 1), &key) && !webhooks_is_settled(w, id, key))
                        webhooks_note_settled(w, id, key);
        }
}

/* Read before the loop runs. One that is not all understood is kept aside: an event that waits in it is not lost silently. */
void webhooks_read_file(struct webhooks *w)
{
        json_error_t error = {.text = ""};
        FILE *f = fopen(w->path, "re");
        if (!f && errno == ENOENT)
                return;
        if (!f)
                snprintf(error.text, sizeof(error.text), "%s", strerror(errno));
        json_t *j = f ? json_loadf(f, JSON_REJECT_DUPLICATES, &error) : NULL;
        if (f)
                fclose(f);
        json_int_t version = json_integer_value(json_object_get(j, "version"));
        size_t lost = 0;
        if (j && version != FILE_VERSION) {
                snprintf(error.text, sizeof(error.text), "it is of version %lld, read is %d", (long long)version, FILE_VERSION);
        } else if (j) {
                webhooks_read_settled(w, json_object_get(j, "settled"));
                lost = read_waiting(w, json_object_get(j, "waiting"));
                w->told = json_incref(json_object_get(j, "told"));
                if (lost)
                        snprintf(error.text, sizeof(error.text), "%zu of the events that wait make no sense", lost);
        }
        w->dirty = !j || lost || version != FILE_VERSION;
        if (w->dirty) {
                log_error("path=%s msg=\"cannot read all of events.json: events may be sent again, or not\" error=\"%s\"", w->path, error.text);
                set_aside(w);
        }
        json_decref(j);
}

struct buf *webhooks_settled(struct webhooks *w)
{
        return json_to_buf(json_pack("{s:o}", "settled", settled_json(w)));
}
