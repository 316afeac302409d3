#include "originD/stand_in.h"

#include <string.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "originD/keyframe.h"

#define SHORTER_US (10 * US_PER_S) /* what ended this much before others did not end with them */
#define SAMPLE_TICKS 1024          /* of AAC */
#define TFHD_BASE_IS_MOOF 0x020000
#define TFHD_DURATION 0x08
#define TFHD_SIZE 0x10
#define TRUN_OFFSET 0x01

/* A frame of AAC without a band that has anything in it (ISO 14496-3, 4.4.2): of one channel, of two. */
static const uint8_t silence_mono[] = {0x00, 0x00, 0x00, 0x07};
static const uint8_t silence_stereo[] = {0x21, 0x00, 0x00, 0x00, 0x00, 0x1c};

static bool can_stand_in(const struct track *t)
{
        bool sound = strcmp(t->init.codec, "mp4a.40.2") == 0 && (t->init.channels == 1 || t->init.channels == 2);
        return t->log && (t->init.kind == TRACK_VIDEO || (t->init.kind == TRACK_AUDIO && sound));
}

struct ends {
        int64_t of_kind_us[TRACK_KINDS], us;
};

static struct ends find_ends(const struct session *s)
{
        struct ends e = {.us = 0};
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                if (!track_playable(s, t))
                        continue;
                struct track_facts f = track_facts(s, t);
                int64_t stored_us = ((int64_t)f.last_segment + 1) * SEGMENT_US, *of_kind_us = &e.of_kind_us[t->init.kind];
                int64_t end_us = f.end_us < stored_us ? f.end_us : stored_us; /* the last frame of sound may reach over its second */
                *of_kind_us = end_us > *of_kind_us ? end_us : *of_kind_us;
                e.us = end_us > e.us ? end_us : e.us;
        }
        return e;
}

static bool leaves_out(const struct session *s, const struct track *t, const struct ends *e)
{
        int64_t kind_us = e->of_kind_us[t->init.kind];
        bool of_its_kind = track_facts(s, t).end_us < kind_us - SHORTER_US, kind = kind_us < e->us - SHORTER_US;
        return of_its_kind || (kind && !can_stand_in(t));
}

bool stand_in_leaves_out(const struct session *s, const struct track *t)
{
        if (s->state == SESSION_LIVE)
                return false;
        struct ends e = find_ends(s);
        return session_at_rest(s) ? leaves_out(s, t, &e) : track_facts(s, t).end_us < e.us - SHORTER_US;
}

static uint32_t first_whole(const struct track *t)
{
        return (uint32_t)((t->start_us + SEGMENT_US - 1) / SEGMENT_US);
}

/* The first whole second of all tracks that players are told of, and of those of a kind; UINT32_MAX: it has none. */
static uint32_t find_begin(const struct session *s, const struct ends *e, uint32_t of_kind[TRACK_KINDS])
{
        uint32_t begin = UINT32_MAX;
        for (size_t kind = 0; kind < TRACK_KINDS; kind++)
                of_kind[kind] = UINT32_MAX;
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                if (!track_playable(s, t) || leaves_out(s, t, e))
                        continue;
                uint32_t first = first_whole(t), *kind = &of_kind[t->init.kind];
                *kind = first < *kind ? first : *kind;
                begin = first < begin ? first : begin;
        }
        return begin;
}

/* Of two renditions that came one after the other the first one stands for its kind until then. One that lost its beginning to retention does not: who
 * plays the recording begins behind that. */
static uint32_t begin_of(const struct session *s, const struct track *t, const struct ends *e)
{
        uint32_t of_kind[TRACK_KINDS], begin = find_begin(s, e, of_kind), first = first_whole(t);
        bool late = first == of_kind[t->init.kind] && first > begin;
        return late && track_first_segment(s, t) == t->first_segment ? begin : t->first_segment;
}

bool stand_in_find(const struct session *s, const struct track *t, struct stand_in *out)
{
        if (!session_at_rest(s))
                return false;
        struct track_facts f = track_facts(s, t);
        struct ends e = find_ends(s);
        bool stills = t->init.kind == TRACK_PICTURES;
        if (!f.any || (!stills && (!track_playable(s, t) || !can_stand_in(t) || leaves_out(s, t, &e))))
                return false;
        *out = (struct stand_in){.first = t->first_segment, .stop = f.last_segment + 1, .first_us = t->start_us, .stop_us = f.end_us,
                                 .end_us = e.us};
        out->begin = stills ? out->first : begin_of(s, t, &e);
        out->end = (stills ? f.end_us : e.of_kind_us[t->init.kind]) < e.us - SHORTER_US ? (uint32_t)((e.us + SEGMENT_US - 1) / SEGMENT_US)
                                                                                       : out->stop;
        return out->begin < out->first || out->end > out->stop;
}

bool stand_in_has(const struct stand_in *in, uint32_t segment)
{
        return (segment >= in->begin && segment < in->first) || (segment >= in->stop && segment < in->end);
}

uint32_t stand_in_source(const struct stand_in *in, uint32_t segment)
{
        return segment < in->first ? in->first : in->stop - 1;
}

static int64_t to_ticks(int64_t us, const struct init_info *init)
{
        return (int64_t)(((unsigned __int128)us * init->timescale + US_PER_S / 2) / US_PER_S);
}

/* Where it begins and ends, in ticks: it goes on from the track's media, or up to them, wherever in a second these end or begin. */
static void find_time(const struct stand_in *in, const struct init_info *init, uint32_t segment, int64_t *from, int64_t *to)
{
        int64_t second = init->timescale, stop = to_ticks(in->stop_us, init), end = to_ticks(in->end_us, init);
        *from = segment * second;
        *to = *from + second;
        if (segment == in->stop && stop > *from - second && stop < *to)
                *from = stop;
        if (segment + 1 == in->first)
                *to = to_ticks(in->first_us, init);
        if (end > *from && end < *to)
                *to = end;
}

struct buf *stand_in_picture(const struct stand_in *in, const struct init_info *init, uint32_t segment, const uint8_t *data, size_t len)
{
        int64_t from, to;
        find_time(in, init, segment, &from, &to);
        return keyframe_hold(data, len, init, segment, (uint64_t)from, (uint32_t)(to - from));
}

/* The first frame not before `at`, of those that lie end to end with the one that begins at the anchor. */
static int64_t frame_from(int64_t anchor, int64_t at)
{
        int64_t away = (at - anchor) % SAMPLE_TICKS;
        return away > 0 ? at + SAMPLE_TICKS - away : at - away;
}

static void write_head(struct writer *w, const struct init_info *init, uint32_t segment, int64_t from, uint32_t count, uint32_t frame_bytes)
{
        enum { MFHD = 16, TFHD = 24, TFDT = 20, TRUN = 20, TRAF = 8 + TFHD + TFDT + TRUN, MOOF = 8 + MFHD + TRAF };
        writer_u32(w, MOOF);
        writer_bytes(w, "moof", 4);
        writer_u32(w, MFHD);
        writer_bytes(w, "mfhd\0\0\0\0", 8);
        writer_u32(w, segment + 1);
        writer_u32(w, TRAF);
        writer_bytes(w, "traf", 4);
        writer_u32(w, TFHD);
        writer_bytes(w, "tfhd", 4);
        writer_u32(w, TFHD_BASE_IS_MOOF | TFHD_DURATION | TFHD_SIZE);
        writer_u32(w, init->track_id);
        writer_u32(w, SAMPLE_TICKS);
        writer_u32(w, frame_bytes);
        writer_u32(w, TFDT);
        writer_bytes(w, "tfdt\1\0\0\0", 8);
        writer_u64(w, (uint64_t)from);
        writer_u32(w, TRUN);
        writer_bytes(w, "trun", 4);
        writer_u32(w, TRUN_OFFSET);
        writer_u32(w, count);
        writer_u32(w, MOOF + 8);
        writer_u32(w, 8 + count * frame_bytes);
        writer_bytes(w, "mdat", 4);
}

struct buf *stand_in_silence(const struct stand_in *in, const struct init_info *init, uint32_t segment)
{
        const uint8_t *frame = init->channels == 1 ? silence_mono : silence_stereo;
        uint32_t frame_bytes = init->channels == 1 ? sizeof(silence_mono) : sizeof(silence_stereo);
        int64_t from, to, anchor = to_ticks(segment < in->first ? in->first_us : in->stop_us, init);
        uint8_t head[128];
        struct writer w;
        find_time(in, init, segment, &from, &to);
        from = frame_from(anchor, from);
        uint32_t count = to > from ? (uint32_t)((to - from + SAMPLE_TICKS - 1) / SAMPLE_TICKS) : 0;
        writer_init(&w, head, sizeof(head));
        write_head(&w, init, segment, from, count, frame_bytes);
        struct buf *b = buf_new(w.len + (size_t)count * frame_bytes);
        memcpy(b->data, head, w.len);
        for (uint32_t i = 0; i < count; i++)
                memcpy(b->data + w.len + (size_t)i * frame_bytes, frame, frame_bytes);
        return b;
}
