#include "originD/serve_impl.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/err.h"
#include "originD/picture.h"
#include "originD/playlist.h"
#include "originD/stats.h"

#define SWEEP_MS 20

static const struct serve_answer not_yet = {.status = ERR_NOT_YET}, full = {.status = ERR_FULL};

static void count_answer(const struct serve_answer *a)
{
        stat_add(a->status == 0               ? STAT_FETCHES_OK
                 : a->status == ERR_NOT_YET   ? STAT_FETCHES_NOT_YET
                 : a->status == ERR_NOT_FOUND ? STAT_FETCHES_NOT_FOUND
                 : a->status == ERR_FULL      ? STAT_FETCHES_FULL
                                              : STAT_FETCHES_ERROR,
                 1);
}

static void give_turns(struct serve *sv);

/* What r had is free before it is told: done() may ask the next thing. */
void serve_reply(struct serve_request *r, const struct serve_answer *a)
{
        struct serve *sv = r->serve;
        if (r->parsed.kind == KEY_NAMES) /* an edge asks each second, whatever its viewers do */
                stat_add(STAT_NAMES_TOLD, a->status == 0);
        else
                count_answer(a);
        if (a->kept)
                askers_keep(&sv->askers, &r->asking, a->bytes->len); /* all that was read, however little of it is wanted */
        else
                askers_leave(&sv->askers, &r->asking);
        r->done(r, a);
        give_turns(sv);
}

/* As a string that outlives the message. */
static const char *known_type(const char *text)
{
        static const char *const types[] = {INIT_TYPE_PICTURE, INIT_TYPE_SOUND, PICTURE_TYPE, "application/dash+xml", PLAYLIST_TYPE, JSON_TYPE};
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
                if (strcmp(types[i], text) == 0)
                        return types[i];
        return "application/octet-stream";
}

static void from_elsewhere(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct serve_request *r = arg;
        struct serve *sv = r->serve;
        sv->asking_elsewhere--;
        bool empty = !err && !bytes && ~m->flags & (FETCH_COMPLETE | FETCH_IMMUTABLE); /* says nothing */
        if (err || m->status || empty) {
                serve_resolve(sv, r);
                return;
        }
        stat_add(STAT_FETCHES_ELSEWHERE, 1);
        bool complete = m->flags & FETCH_COMPLETE;
        serve_reply(r, &(struct serve_answer){.flags = m->flags, .ttl_ms = m->ttl_ms, .content_type = known_type(m->content_type),
                                         .bytes = bytes, .len = m->len, .size = r->offset + m->len, .complete = complete});
}

static void end_turn(struct serve *sv, struct serve_request *r)
{
        bool had = r->asking.state == ASKING_READS;
        askers_yield(&sv->askers, &r->asking);
        if (had)
                give_turns(sv);
}

/* How its file lies here is this origin's own business. */
static bool is_of_recording(const struct serve_request *r)
{
        return r->parsed.kind == KEY_FACTS || r->parsed.kind == KEY_PIECE || r->parsed.kind == KEY_RECORDING;
}

/* Asks the next of the origins that may have more; true: it is on its way. Only the first one may ask others in its turn, or
 * a question about what nobody has would be asked many times over. */
static bool ask_elsewhere(struct serve *sv, struct serve_request *r, const struct session *than)
{
        const struct serve_elsewhere *e = &sv->elsewhere;
        struct fetch m = {.offset = r->offset, .hops = r->asked_elsewhere ? FETCH_HOPS_MAX : (uint8_t)(r->hops + 1)};
        if (!e->who || sv->stopping || (than && r->asked_elsewhere) || r->parsed.kind < KEY_ENTRY || is_of_recording(r) ||
            r->part_chunks || (r->parsed.joined && !r->from_node) || /* how long it is has to be known */
            r->hops >= FETCH_HOPS_MAX ||
            sv->asking_elsewhere >= sv->askers.waits_of_one)
                return false;
        const char *peer = e->who(e->arg, &r->parsed, than, r->asked_elsewhere);
        int64_t left_ms = (r->deadline_us - clock_mono_us()) / US_PER_MS;
        m.wait_ms = (uint32_t)(left_ms < 0 ? 0 : left_ms < FETCH_WAIT_MAX_MS ? left_ms : FETCH_WAIT_MAX_MS);
        strcpy(m.key, r->key);
        if (!peer || e->link->ops->fetch(e->link, peer, &m, from_elsewhere, r))
                return false;
        r->asked_elsewhere++;
        sv->asking_elsewhere++;
        end_turn(sv, r); /* nothing is read here while a peer is asked, which may take as long as it waits itself */
        return true;
}

/* Before this origin has read all it has, and heard of the others. A recording that its writer ended is the same everywhere and
 * for ever; of anything else, and of what is not here, nobody can say yet what it is. Who asks for what may never be is not held
 * while this origin reads: others know. */
static enum look look_early(struct serve *sv, struct serve_request *r)
{
        bool about_one = r->parsed.kind >= KEY_ENTRY && r->parsed.kind < KEY_PEER_ENDED;
        struct session *s = about_one ? serve_wanted_session(sv, &r->parsed) : NULL;
        if (!sv->store->started && (!s || (r->parsed.kind == KEY_ENTRY && s->state == SESSION_ENDED)))
                return serve_look_error(r, ERR_NOT_YET);
        bool ended = s && s->state == SESSION_ENDED && s->ended_by_writer && r->parsed.kind != KEY_ENTRY;
        if (!s || !(sv->settled || ended))
                return LOOK_WAIT;
        enum look l = serve_look(sv, r);
        return l == LOOK_NONE && !sv->settled ? LOOK_WAIT : l; /* another copy may have it */
}

/* What is here; else what another origin has; else what stands in for it, LOOK_WAIT or LOOK_NONE. */
static enum look look_everywhere(struct serve *sv, struct serve_request *r)
{
        if (r->parsed.kind >= KEY_PEER_ENDED && sv->store->started)
                return serve_look_peer(sv, r);
        if (!(sv->settled && sv->store->started) && r->parsed.kind != KEY_NONE)
                return look_early(sv, r);
        bool newest = r->parsed.kind == KEY_ENTRY && sv->elsewhere.who; /* another origin may have a newer session */
        struct session *current = newest ? serve_current_session(sv, r->parsed.stream) : NULL;
        if (current && ask_elsewhere(sv, r, current))
                return LOOK_DONE;
        enum look l = serve_look(sv, r);
        if ((l == LOOK_WAIT || l == LOOK_NONE) && ask_elsewhere(sv, r, NULL))
                return LOOK_DONE;
        return l == LOOK_NONE ? serve_look_stand_in(sv, r) : l;
}

static void sweep(uv_timer_t *timer);

static void tell_waiting(const struct serve *sv)
{
        stat_set(STAT_FETCHES_WAITING, (int64_t)(sv->held_count - sv->held_names));
        size_t in_line = 0;
        for (enum read_kind kind = READ_LIVE; kind < READ_KINDS; kind++)
                in_line += sv->askers.kinds[kind].in_line;
        stat_set(STAT_READS_IN_LINE, (int64_t)in_line);
}

/* Keys without a stream have one of their own, as if it were named "". */
static struct serve_request **bucket_of(struct serve *sv, const char *stream)
{
        return &sv->of_stream[XXH3_64bits(stream, strlen(stream)) % SERVE_BUCKETS];
}

static void hold(struct serve *sv, struct serve_request *r)
{
        r->next = sv->held;
        r->prev = &sv->held;
        if (sv->held)
                sv->held->prev = &r->next;
        sv->held = r;
        sv->held_count++;
        sv->held_names += r->parsed.kind == KEY_NAMES;
        struct serve_request **bucket = bucket_of(sv, r->parsed.stream);
        r->next_of_stream = *bucket;
        r->prev_of_stream = bucket;
        if (*bucket)
                (*bucket)->prev_of_stream = &r->next_of_stream;
        *bucket = r;
        tell_waiting(sv);
        if (!uv_is_active((uv_handle_t *)&sv->timer))
                uv_timer_start(&sv->timer, sweep, SWEEP_MS, SWEEP_MS);
}

static void let_go(struct serve *sv, struct serve_request *r)
{
        *r->prev = r->next;
        if (r->next)
                r->next->prev = r->prev;
        r->next = NULL;
        r->prev = NULL;
        *r->prev_of_stream = r->next_of_stream;
        if (r->next_of_stream)
                r->next_of_stream->prev_of_stream = r->prev_of_stream;
        r->next_of_stream = NULL;
        r->prev_of_stream = NULL;
        sv->held_count--;
        sv->held_names -= r->parsed.kind == KEY_NAMES;
        askers_no_wait(&sv->askers, &r->asking);
        tell_waiting(sv);
}

/* r waits, if there is room for one more of its asker's. */
static bool may_wait(struct serve *sv, struct serve_request *r)
{
        if (askers_wait(&sv->askers, &r->asking, r->asker))
                return true;
        stat_add(STAT_REFUSED_WAITS, 1);
        serve_reply(r, &full);
        return false;
}

/* It is held like any other, so that it is not forgotten when its turn never comes. */
static void hold_for_disk(struct serve *sv, struct serve_request *r)
{
        int64_t until_us = clock_mono_us() + READ_WAIT_US;
        if (r->deadline_us < until_us)
                r->deadline_us = until_us;
        hold(sv, r);
}

static void line_up(struct serve *sv, struct serve_request *r)
{
        if (sv->stopping) {
                serve_reply(r, &not_yet);
                return;
        }
        if (!may_wait(sv, r))
                return;
        if (askers_read(&sv->askers, &r->asking, r->wants)) {
                askers_no_wait(&sv->askers, &r->asking);
                serve_resolve(sv, r);
                return;
        }
        hold_for_disk(sv, r);
        give_turns(sv); /* it may have given one back */
}

/* An edge is told when the segment can be there, so that it holds its viewers, or refuses them, and does not ask again and again. */
static bool comes_after_wait(const struct serve_request *r)
{
        return r->from_node && r->hops < FETCH_HOPS_MAX && r->due_ms > 0 && r->due_ms + DUE_LATENCY_MS > r->wait_ms;
}

/* Answers, has it answered later, or holds it. r may be gone afterwards. */
void serve_resolve(struct serve *sv, struct serve_request *r)
{
        r->due_ms = 0;
        r->wants_room = false;
        r->by_time = false;
        switch (look_everywhere(sv, r)) {
        case LOOK_DONE:
                break;
        case LOOK_NONE:
                serve_reply(r, &(struct serve_answer){.status = ERR_NOT_FOUND, .ttl_ms = r->none_ttl_ms});
                break;
        case LOOK_TURN:
                line_up(sv, r);
                break;
        case LOOK_LOADING:
                if (sv->stopping)
                        serve_reply(r, &not_yet);
                else if (may_wait(sv, r)) {
                        hold_for_disk(sv, r);
                        if (is_of_recording(r)) /* it takes a turn for each volume that is looked at, and others theirs between */
                                end_turn(sv, r);
                }
                break;
        case LOOK_ROOM:
                r->wants_room = true;
                if (sv->stopping)
                        serve_reply(r, &not_yet);
                else if (may_wait(sv, r)) {
                        hold(sv, r);
                        end_turn(sv, r);
                }
                break;
        case LOOK_WAIT:
                if (sv->stopping || !r->wait_ms)
                        serve_reply(r, &not_yet);
                else if (comes_after_wait(r))
                        serve_reply(r, &(struct serve_answer){.status = ERR_NOT_YET, .ttl_ms = r->due_ms});
                else if (may_wait(sv, r)) {
                        hold(sv, r);
                        end_turn(sv, r); /* what it waits for now is no read */
                }
        }
}

/* Takes r out of the held ones before it may be answered: done() frees it. Puts it back if there is nothing to say. */
static void look_again(struct serve *sv, struct serve_request *r)
{
        let_go(sv, r);
        serve_resolve(sv, r);
}

/* Not while the held ones are gone through, of which this takes some out, nor from inside of itself: whoever goes through
 * them gives the turns when that is over. */
static void give_turns(struct serve *sv)
{
        struct asking *q;
        if (sv->going_through)
                return;
        sv->going_through = true;
        for (enum read_kind kind = READ_LIVE; kind < READ_KINDS; kind++)
                while ((q = askers_next(&sv->askers, kind)))
                        look_again(sv, (struct serve_request *)((char *)q - offsetof(struct serve_request, asking)));
        sv->going_through = false;
}

/* false: somebody does so already, and the list may change under him only by what he does. */
static bool go_through(struct serve *sv)
{
        bool was = sv->going_through;
        sv->going_through = true;
        return !was;
}

static void gone_through(struct serve *sv, bool outermost)
{
        if (!outermost)
                return;
        sv->going_through = false;
        give_turns(sv);
}

/* Questions that match are looked at again. One that stands in line would only lose its place. The list changes under way only by
 * look_again() of its own members: one that stays moves to the front, before what is still to be visited. */
static void revisit(struct serve *sv, bool (*match)(const struct serve_request *r, const void *arg), const void *arg)
{
        bool outermost = go_through(sv);
        struct serve_request *r = sv->held, *next;
        for (; r; r = next) {
                next = r->next;
                if (r->asking.state != ASKING_IN_LINE && match(r, arg))
                        look_again(sv, r);
        }
        gone_through(sv, outermost);
}

static bool about_session(const struct serve_request *r, const void *arg)
{
        const struct session *s = arg;
        if (r->parsed.kind == KEY_PEER_SESSION)
                return strcmp(r->parsed.session, s->id) == 0;
        return strcmp(r->parsed.stream, s->stream) == 0 &&
               (r->parsed.kind == KEY_ENTRY || strcmp(r->parsed.session, s->id) == 0);
}

/* As revisit(), of one bucket. */
static void revisit_bucket(struct serve_request *first, struct serve *sv, const struct session *s)
{
        for (struct serve_request *r = first, *next; r; r = next) {
                next = r->next_of_stream;
                if (r->asking.state != ASKING_IN_LINE && about_session(r, s))
                        look_again(sv, r);
        }
}

void serve_changed(struct serve *sv, struct session *s)
{
        bool outermost = go_through(sv);
        struct serve_request **of_stream = bucket_of(sv, s->stream), **of_none = bucket_of(sv, "");
        revisit_bucket(*of_stream, sv, s);
        if (of_none != of_stream)
                revisit_bucket(*of_none, sv, s);
        gone_through(sv, outermost);
}

static bool about_time(const struct serve_request *r, const void *arg)
{
        (void)arg;
        return r->by_time;
}

/* An edge waits for names that it does not know. */
static bool about_names(const struct serve_request *r, const void *arg)
{
        (void)arg;
        return r->parsed.kind == KEY_NAMES;
}

/* What another origin has may be known since it was held. */
static bool known_elsewhere(const struct serve_request *r, const void *arg)
{
        const struct serve_elsewhere *e = arg;
        return !r->asked_elsewhere && r->parsed.kind >= KEY_ENTRY && r->parsed.kind < KEY_PEER_ENDED && e->who(e->arg, &r->parsed, NULL, 0);
}

/* How much memory there is for layouts has changed. */
static bool about_room(const struct serve_request *r, const void *arg)
{
        (void)arg;
        return is_of_recording(r);
}

static bool about_list(const struct serve_request *r, const void *arg)
{
        (void)arg;
        return r->parsed.kind == KEY_STREAMS;
}

static void list_step(uv_idle_t *steps)
{
        struct serve *sv = steps->data;
        if (!serve_make_list(sv))
                return;
        uv_idle_stop(steps);
        revisit(sv, about_list, NULL);
}

void serve_list_goes_on(struct serve *sv)
{
        uv_idle_start(&sv->streams.steps, list_step);
}

static void sweep(uv_timer_t *timer)
{
        struct serve *sv = timer->data;
        int64_t now = clock_mono_us();
        bool outermost = go_through(sv);
        revisit(sv, about_time, NULL);
        if (sv->names_told != sv->store->changes)
                revisit(sv, about_names, NULL);
        sv->names_told = sv->store->changes;
        uint64_t freed = sv->layouts.freed; /* who is looked at may free more */
        if (sv->layouts_freed != freed)
                revisit(sv, about_room, NULL);
        sv->layouts_freed = freed;
        if (sv->elsewhere.who && sv->settled)
                revisit(sv, known_elsewhere, &sv->elsewhere);
        for (struct serve_request *r = sv->held, *next; r; r = next) {
                next = r->next;
                if (r->deadline_us > now)
                        continue;
                bool in_line = r->asking.state == ASKING_IN_LINE;
                stat_add(STAT_REFUSED_TURN, in_line);
                stat_add(STAT_REFUSED_ROOM, r->wants_room);
                let_go(sv, r);
                serve_reply(r, in_line || r->wants_room ? &full : &not_yet);
        }
        gone_through(sv, outermost);
        if (!sv->held)
                uv_timer_stop(timer);
}

static void layout_moved(void *arg, struct session *s)
{
        serve_changed(arg, s);
}

void serve_open(struct serve *sv, uv_loop_t *loop, struct store *store, const struct manifest_options *manifest,
                size_t waits_of_one)
{
        *sv = (struct serve){.loop = loop, .store = store, .manifest = *manifest, .settled = true};
        askers_init(&sv->askers, waits_of_one);
        uv_timer_init(loop, &sv->timer);
        sv->timer.data = sv;
        uv_idle_init(loop, &sv->streams.steps);
        sv->streams.steps.data = sv;
        layouts_open(&sv->layouts, loop, layout_moved, sv);
}

void serve(struct serve *sv, struct serve_request *r)
{
        assert(r->max_bytes > 0);
        key_parse(&r->parsed, r->key);
        r->serve = sv;
        r->back = 0;
        r->stands_in = false;
        r->asked_elsewhere = 0; /* HTTP asks with one request for piece after piece */
        r->one_by_one = false;
        r->deadline_us = clock_mono_us() + r->wait_ms * US_PER_MS;
        serve_resolve(sv, r);
}

void serve_taken(struct serve *sv, struct serve_request *r)
{
        askers_leave(&sv->askers, &r->asking);
        give_turns(sv);
}

static bool any(const struct serve_request *r, const void *arg)
{
        (void)r;
        (void)arg;
        return true;
}

void serve_unsettled(struct serve *sv)
{
        sv->settled = false;
}

void serve_settled(struct serve *sv)
{
        sv->settled = true;
        revisit(sv, any, NULL);
}

void serve_stop(struct serve *sv)
{
        sv->stopping = true;
        layouts_stop(&sv->layouts);
        while (sv->held) {
                struct serve_request *r = sv->held;
                let_go(sv, r);
                serve_reply(r, &not_yet);
        }
}

void serve_close(struct serve *sv)
{
        assert(!sv->held && !sv->asking_elsewhere && !sv->askers.count);
        layouts_close(&sv->layouts);
        buf_unref(&sv->streams.text);
        streams_give_up(&sv->streams.making);
        uv_close((uv_handle_t *)&sv->streams.steps, NULL);
        streams_forget(&sv->known);
        uv_close((uv_handle_t *)&sv->timer, NULL);
}
