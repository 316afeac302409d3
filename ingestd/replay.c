#include "ingestd/replay.h"

#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"

#define CAP_FIRST 64
#define SOUND_KEPT_US 200000 /* before what is stored */
#define NOTHING_STORED (INT64_MIN / 2)

struct replay_entry {
        struct frame frame;
        uint64_t next_key; /* of a video keyframe: the next one */
};

static struct replay_entry *entry(const struct replay *r, uint64_t seq)
{
        return &r->entries[seq & (r->cap - 1)];
}

static bool is_key(const struct frame *f)
{
        return f->track == TRACK_VIDEO && f->flags & FRAME_KEY;
}

static size_t weight(const struct frame *f)
{
        return f->bytes->len + REPLAY_FRAME_BYTES;
}

void replay_init(struct replay *r, size_t limit_bytes)
{
        *r = (struct replay){.limit_bytes = limit_bytes, .first_key = REPLAY_NO_KEY, .last_key = REPLAY_NO_KEY};
}

void replay_config(struct replay *r, uint8_t track, uint8_t codec, struct buf *bytes)
{
        struct buf *old = r->config[track].bytes;
        r->config[track].codec = codec;
        r->config[track].bytes = buf_ref(bytes);
        r->config_changes++;
        buf_unref(&old);
}

static void drop_head(struct replay *r)
{
        struct frame *f = &entry(r, r->head)->frame;
        if (f->flags & FRAME_CONFIG)
                replay_config(r, f->track, f->codec, f->bytes);
        if (r->head == r->first_key) {
                r->first_key = entry(r, r->head)->next_key;
                if (r->first_key == REPLAY_NO_KEY)
                        r->last_key = REPLAY_NO_KEY;
        }
        r->bytes -= weight(f);
        buf_unref(&f->bytes);
        r->head++;
}

void replay_fini(struct replay *r)
{
        while (r->head < r->tail)
                drop_head(r);
        for (int k = 0; k < TRACK_KINDS; k++)
                buf_unref(&r->config[k].bytes);
        free(r->entries);
        r->entries = NULL;
        r->cap = 0;
}

static void grow(struct replay *r)
{
        size_t cap = r->cap ? 2 * r->cap : CAP_FIRST;
        struct replay_entry *entries = mem_resize(NULL, cap * sizeof(*entries));
        for (uint64_t seq = r->head; seq < r->tail; seq++)
                entries[seq & (cap - 1)] = *entry(r, seq);
        free(r->entries);
        r->entries = entries;
        r->cap = cap;
}

static void note_key(struct replay *r, uint64_t seq)
{
        if (r->last_key == REPLAY_NO_KEY)
                r->first_key = seq;
        else
                entry(r, r->last_key)->next_key = seq;
        r->last_key = seq;
}

static int64_t presentation_us(const struct frame *f)
{
        return f->dts_us + f->cts_us;
}

/* The last keyframe whose picture is stored, or of the rest the first. */
static uint64_t stored_key(const struct replay *r, int64_t stored_us)
{
        uint64_t key = r->first_key;
        while (key != REPLAY_NO_KEY) {
                uint64_t next = entry(r, key)->next_key;
                if (next == REPLAY_NO_KEY || presentation_us(&entry(r, next)->frame) > stored_us)
                        break;
                key = next;
        }
        return key;
}

static bool still_needed(const struct frame *f, int64_t stored_us)
{
        return f->track == TRACK_AUDIO && f->dts_us > stored_us - SOUND_KEPT_US;
}

/* Of the frames before key, which all have been taken, only the sound that is needed stays; it moves up to key. */
static void squeeze(struct replay *r, uint64_t key, int64_t stored_us)
{
        uint64_t to = key;
        for (uint64_t seq = r->head; seq < key; seq++) { /* the newest configuration last */
                const struct frame *f = &entry(r, seq)->frame;
                if (f->flags & FRAME_CONFIG && !still_needed(f, stored_us))
                        replay_config(r, f->track, f->codec, f->bytes);
        }
        for (uint64_t seq = key; seq-- > r->head;) {
                struct frame f = entry(r, seq)->frame;
                if (still_needed(&f, stored_us)) {
                        entry(r, --to)->frame = f;
                        continue;
                }
                r->bytes -= weight(&f);
                buf_unref(&f.bytes);
        }
        r->head = to;
        r->first_key = key;
}

/* NULL asks for a free one. */
static struct replay_reader **place_of(struct replay *r, const struct replay_reader *reader)
{
        for (int i = 0; i < REPLAY_READERS; i++) {
                if (r->readers[i] == reader)
                        return &r->readers[i];
        }
        return NULL;
}

void replay_attach(struct replay *r, struct replay_reader *reader)
{
        replay_detach(r, reader);
        struct replay_reader **place = place_of(r, NULL);
        assert(place);
        *place = reader;
        *reader = (struct replay_reader){.taken = r->head, .stored_us = NOTHING_STORED, .attached = true};
}

void replay_detach(struct replay *r, struct replay_reader *reader)
{
        if (reader->attached)
                *place_of(r, reader) = NULL;
        reader->attached = false;
}

/* Returns how far the numbers are no longer what they were. */
static uint64_t let_go(struct replay *r, int64_t stored_us, uint64_t taken)
{
        uint64_t key = stored_key(r, stored_us);
        uint64_t to = key < taken ? key : taken;
        while (r->head < to && r->head < r->tail && !still_needed(&entry(r, r->head)->frame, stored_us))
                drop_head(r);
        if (key > taken || r->head >= key)
                return r->head;
        squeeze(r, key, stored_us);
        return key;
}

static void mark_behind(struct replay *r, uint64_t changed)
{
        for (int i = 0; i < REPLAY_READERS; i++) {
                struct replay_reader *reader = r->readers[i];
                if (reader && reader->taken < changed)
                        reader->behind = true;
        }
}

void replay_trim(struct replay *r, struct replay_reader *reader, int64_t stored_us, uint64_t taken)
{
        assert(reader->attached);
        reader->stored_us = stored_us;
        reader->taken = taken;
        for (int i = 0; i < REPLAY_READERS; i++) {
                const struct replay_reader *other = r->readers[i];
                if (!other || other->behind)
                        continue;
                stored_us = other->stored_us < stored_us ? other->stored_us : stored_us;
                taken = other->taken < taken ? other->taken : taken;
        }
        let_go(r, stored_us, taken);
}

/* What is kept for one reader only. False: nothing is. */
static bool leave_the_slower(struct replay *r)
{
        size_t bytes = r->bytes;
        for (int i = 0; i < REPLAY_READERS && r->bytes == bytes; i++) {
                const struct replay_reader *one = r->readers[i];
                if (!one || one->behind)
                        continue;
                uint64_t changed = let_go(r, one->stored_us, one->taken);
                if (r->bytes < bytes)
                        mark_behind(r, changed);
        }
        return r->bytes < bytes;
}

/* Lets the oldest group of pictures go, or, of a single one, its oldest frame. */
static void lose_oldest(struct replay *r)
{
        uint64_t next = r->first_key == REPLAY_NO_KEY ? REPLAY_NO_KEY
                        : r->first_key > r->head      ? r->first_key
                                                      : entry(r, r->first_key)->next_key;
        uint64_t to = next == REPLAY_NO_KEY ? r->head + 1 : next;
        r->lost += to - r->head;
        while (r->head < to)
                drop_head(r);
}

static void make_room(struct replay *r)
{
        if (!leave_the_slower(r))
                lose_oldest(r);
}

size_t replay_push(struct replay *r, const struct frame *f)
{
        uint64_t lost = r->lost;
        while (r->head < r->tail && r->bytes + weight(f) > r->limit_bytes)
                make_room(r);
        if (r->tail - r->head == r->cap)
                grow(r);
        *entry(r, r->tail) = (struct replay_entry){.frame = *f, .next_key = REPLAY_NO_KEY};
        buf_ref(f->bytes);
        r->bytes += weight(f);
        if (is_key(f))
                note_key(r, r->tail);
        r->tail++;
        return (size_t)(r->lost - lost);
}

size_t replay_give_way(struct replay *r)
{
        uint64_t lost = r->lost;
        if (r->head < r->tail)
                make_room(r);
        return (size_t)(r->lost - lost);
}

const struct frame *replay_at(const struct replay *r, uint64_t seq)
{
        assert(seq >= r->head && seq < r->tail);
        return &entry(r, seq)->frame;
}

int64_t replay_start_us(const struct replay *r)
{
        if (r->head == r->tail)
                return 0;
        return presentation_us(replay_at(r, r->first_key != REPLAY_NO_KEY ? r->first_key : r->head));
}

void replay_move(struct replay *r, int64_t delta_us)
{
        for (uint64_t seq = r->head; delta_us && seq < r->tail; seq++)
                entry(r, seq)->frame.dts_us += delta_us;
        for (int i = 0; i < REPLAY_READERS; i++) {
                if (r->readers[i])
                        r->readers[i]->stored_us += delta_us;
        }
}
