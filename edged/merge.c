#include "edged/merge.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json_buf.h"
#include "common/mem.h"

static const char *text_of(const json_t *entry, const char *name)
{
        const char *s = json_string_value(json_object_get(entry, name));
        return s ? s : "";
}

static int rank(const json_t *entry)
{
        const char *state = text_of(entry, "state");
        return strcmp(state, "live") == 0 ? 2 : strcmp(state, "slate") == 0 ? 1 : 0;
}

static json_t *load(const struct buf *list)
{
        return json_loadb((const char *)list->data, list->len, 0, NULL);
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/* The newer session; of one and the same, live before ended: an origin that nobody writes to ends a session by itself. */
static bool is_better(const json_t *a, const json_t *b)
{
        int newer = strcmp(text_of(a, "started"), text_of(b, "started"));
        newer = newer ? newer : strcmp(text_of(a, "session"), text_of(b, "session"));
        return newer ? newer > 0 : rank(a) > rank(b);
}

/* Returns whether there are recordings that are not told: by the node, or here. */
static bool take_streams(json_t *by_id, const struct buf *list)
{
        json_t *root = load(list), *stream;
        bool more = json_is_string(json_object_get(root, "next"));
        size_t i;
        json_array_foreach(json_object_get(root, "streams"), i, stream) {
                const char *id = text_of(stream, "id");
                json_t *known = *id ? json_object_get(by_id, id) : NULL;
                more |= known && strcmp(text_of(known, "session"), text_of(stream, "session")) != 0;
                if (*id && (!known || is_better(stream, known)))
                        json_object_set(by_id, id, stream);
        }
        json_decref(root);
        return more;
}

/* What is on first, then the newest. */
static int order_of_streams(const void *a, const void *b)
{
        const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
        int on = (rank(y) > 0) - (rank(x) > 0), newer = strcmp(text_of(y, "started"), text_of(x, "started"));
        return on ? on : newer ? newer : strcmp(text_of(x, "id"), text_of(y, "id"));
}

struct buf *merge_streams(struct buf *const *lists, size_t count)
{
        json_t *by_id = json_object(), *streams = json_array(), *answer = json_pack("{s:o}", "streams", streams);
        bool more = false;
        size_t n = 0;
        for (size_t i = 0; i < count; i++)
                more |= take_streams(by_id, lists[i]);
        json_t **all = mem_alloc((json_object_size(by_id) + 1) * sizeof(*all));
        for (void *at = json_object_iter(by_id); at; at = json_object_iter_next(by_id, at))
                all[n++] = json_object_iter_value(at);
        if (n)
                qsort(all, n, sizeof(*all), order_of_streams);
        for (size_t i = 0; i < n; i++)
                json_array_append(streams, all[i]);
        free(all);
        json_decref(by_id);
        if (more)
                json_object_set_new(answer, "next", json_string(KEY_RECORDINGS_PATH));
        return json_to_buf(answer);
}

/* ---- a page of recordings ---------------------------------------------------------------------------------------- */

struct place {
        int64_t ms;
        char session[SESSION_ID_MAX + 1];
};

struct row {
        struct place place;
        json_t *entry; /* a reference */
        size_t tracks, nth; /* how many it tells; as it came */
};

struct rows {
        struct row *at;
        size_t count, cap;
};

/* > 0: a started after b. */
static int compare(const struct place *a, const struct place *b)
{
        return a->ms != b->ms ? (a->ms > b->ms) - (a->ms < b->ms) : strcmp(a->session, b->session);
}

/* Of the address of a page that ends or begins there. false: it is none. */
static bool read_place(struct place *out, const char *address)
{
        struct key k;
        key_parse(&k, address);
        out->ms = k.before_ms;
        memcpy(out->session, k.session, sizeof(out->session));
        return k.kind == KEY_RECORDINGS && *k.session;
}

static bool place_of(struct place *out, const json_t *entry)
{
        char address[KEY_MAX + 1];
        int n = snprintf(address, sizeof(address), KEY_RECORDINGS_PATH "/before/%s/%s", text_of(entry, "started"), text_of(entry, "session"));
        return n > 0 && (size_t)n < sizeof(address) && read_place(out, address);
}

static void add_row(struct rows *rows, const struct place *place, json_t *entry)
{
        if (rows->count == rows->cap) {
                rows->cap = rows->cap ? 2 * rows->cap : MERGE_PAGE;
                rows->at = mem_resize(rows->at, rows->cap * sizeof(*rows->at));
        }
        rows->at[rows->count] = (struct row){*place, json_incref(entry), json_array_size(json_object_get(entry, "tracks")), rows->count};
        rows->count++;
}

/* *end: the newest place at which a node's page ends while it has more. */
static void take_page(struct rows *rows, struct place *end, const struct place *asked, const struct buf *list)
{
        json_t *root = load(list), *next = json_object_get(root, "next"), *entry;
        struct place place;
        size_t i;
        bool on = next && read_place(&place, json_string_value(next) ? json_string_value(next) : "");
        if (next && !(on && compare(&place, asked) < 0)) {
                json_decref(root);
                return;
        }
        if (on && compare(&place, end) > 0)
                *end = place;
        json_array_foreach(json_object_get(root, "recordings"), i, entry) {
                if (*text_of(entry, "id") && place_of(&place, entry) && compare(&place, asked) < 0)
                        add_row(rows, &place, entry);
        }
        json_decref(root);
}

/* Of two that are the same the one that tells of more tracks first: an origin knows them only while it has the recording loaded. */
static int newest_first(const void *a, const void *b)
{
        const struct row *x = a, *y = b;
        int newer = compare(&y->place, &x->place);
        if (newer)
                return newer;
        return x->tracks != y->tracks ? (y->tracks > x->tracks) - (y->tracks < x->tracks) : (x->nth > y->nth) - (x->nth < y->nth);
}

static void set_next(json_t *answer, const struct place *last)
{
        char iso[CLOCK_ISO_MAX];
        json_object_set_new(answer, "next", json_sprintf(KEY_RECORDINGS_PATH "/before/%s/%s",
                                                         clock_iso(iso, sizeof(iso), last->ms * US_PER_MS), last->session));
}

struct buf *merge_recordings(const struct key *page, struct buf *const *lists, size_t count)
{
        struct rows rows = {.count = 0};
        struct place asked = {.ms = page->before_ms}, end = {.ms = -1};
        const struct row *last = NULL;
        json_t *told = json_array(), *answer = json_pack("{s:o}", "recordings", told);
        bool cut = false;
        strcpy(asked.session, page->session);
        for (size_t i = 0; i < count; i++)
                take_page(&rows, &end, &asked, lists[i]);
        if (rows.count)
                qsort(rows.at, rows.count, sizeof(*rows.at), newest_first);
        for (size_t i = 0; i < rows.count; i++) {
                struct row *r = &rows.at[i];
                bool again = last && compare(&r->place, &last->place) == 0;
                cut |= !again && json_array_size(told) == MERGE_PAGE;
                if (!again && !cut && compare(&r->place, &end) >= 0) {
                        json_array_append(told, r->entry);
                        last = r;
                }
        }
        if (cut)
                set_next(answer, &last->place);
        else if (end.ms >= 0)
                set_next(answer, &end);
        for (size_t i = 0; i < rows.count; i++)
                json_decref(rows.at[i].entry);
        free(rows.at);
        return json_to_buf(answer);
}
