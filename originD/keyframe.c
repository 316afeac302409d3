#include "originD/keyframe.h"

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "originD/classic.h"
#include "originD/gaps.h"
#include "originD/m3u8.h"
#include "originD/playlist.h"

#define DATE_EVERY 60 /* segments */
#define HEAD_BYTES 128 /* of the boxes before the sample, at least */
#define FLAG_OFFSET 0x01
#define FLAG_DESCRIPTION 0x02
#define FLAG_FIRST_FLAGS 0x04
#define FLAG_DURATION 0x08
#define FLAG_SIZE 0x10
#define TRUN_DURATION 0x100
#define TRUN_SIZE 0x200
#define TFHD_BASE_IS_MOOF 0x020000
#define TRUN_OURS (FLAG_OFFSET | FLAG_FIRST_FLAGS | TRUN_DURATION | TRUN_SIZE)
#define DEPENDS_ON_NOTHING 0x02000000

static bool find_in(const uint8_t *data, size_t len, uint32_t type, struct box *out)
{
        struct reader r;
        reader_init(&r, data, len);
        while (box_next(&r, out) > 0)
                if (out->type == type)
                        return true;
        return false;
}

static uint32_t default_size(const struct box *tfhd, const struct init_info *init)
{
        struct reader r;
        reader_init(&r, tfhd->body, tfhd->body_len);
        uint32_t flags = reader_u32(&r) & 0xffffff;
        reader_skip(&r, 4 + (flags & FLAG_DESCRIPTION ? 4 : 0) + (flags & FLAG_DURATION ? 4 : 0));
        return flags & FLAG_SIZE ? reader_u32(&r) : init->default_size;
}

/* Of the first sample, from the moof on. false: the boxes do not say. */
static bool first_sample(const struct box *trun, uint32_t usual_size, uint32_t *offset, uint32_t *size)
{
        struct reader r;
        reader_init(&r, trun->body, trun->body_len);
        uint32_t flags = reader_u32(&r) & 0xffffff, count = reader_u32(&r);
        *offset = flags & FLAG_OFFSET ? reader_u32(&r) : 0;
        reader_skip(&r, (flags & FLAG_FIRST_FLAGS ? 4 : 0) + (flags & TRUN_DURATION ? 4 : 0));
        *size = flags & TRUN_SIZE ? reader_u32(&r) : usual_size;
        return !r.err && count && *offset && *size;
}

static void write_head(struct writer *w, const struct init_info *init, uint32_t segment, uint64_t tfdt, uint32_t lasts, uint32_t size)
{
        enum { MFHD = 16, TFHD = 16, TFDT = 20, TRUN = 32, TRAF = 8 + TFHD + TFDT + TRUN, MOOF = 8 + MFHD + TRAF };
        writer_u32(w, MOOF);
        writer_bytes(w, "moof", 4);
        writer_u32(w, MFHD);
        writer_bytes(w, "mfhd\0\0\0\0", 8);
        writer_u32(w, segment + 1);
        writer_u32(w, TRAF);
        writer_bytes(w, "traf", 4);
        writer_u32(w, TFHD);
        writer_bytes(w, "tfhd", 4);
        writer_u32(w, TFHD_BASE_IS_MOOF);
        writer_u32(w, init->track_id);
        writer_u32(w, TFDT);
        writer_bytes(w, "tfdt\1\0\0\0", 8);
        writer_u64(w, tfdt);
        writer_u32(w, TRUN);
        writer_bytes(w, "trun", 4);
        writer_u32(w, TRUN_OURS);
        writer_u32(w, 1);
        writer_u32(w, MOOF + 8);
        writer_u32(w, DEPENDS_ON_NOTHING);
        writer_u32(w, lasts);
        writer_u32(w, size);
        writer_u32(w, 8 + size);
        writer_bytes(w, "mdat", 4);
}

/* ticks NULL: at its own time. */
static struct buf *cut(const uint8_t *data, size_t len, const struct init_info *init, uint32_t segment, const uint64_t *ticks, uint32_t lasts)
{
        struct box moof, traf, tfhd, trun;
        uint32_t offset, size;
        uint64_t chunk_bytes;
        size_t head;
        struct chunk_info info;
        uint8_t bytes[HEAD_BYTES];
        struct writer w;
        if (box_chunk_length(data, len, &head, &chunk_bytes) || chunk_bytes > len || box_chunk_parse_head(data, head, chunk_bytes, init, &info) ||
            !find_in(data, head, BOX_TYPE('m', 'o', 'o', 'f'), &moof) || !find_in(moof.body, moof.body_len, BOX_TYPE('t', 'r', 'a', 'f'), &traf) ||
            !find_in(traf.body, traf.body_len, BOX_TYPE('t', 'f', 'h', 'd'), &tfhd) ||
            !find_in(traf.body, traf.body_len, BOX_TYPE('t', 'r', 'u', 'n'), &trun) ||
            !first_sample(&trun, default_size(&tfhd, init), &offset, &size))
                return NULL;
        uint64_t from = (uint64_t)(moof.start - data) + offset;
        if (from + size > chunk_bytes)
                return NULL;
        writer_init(&w, bytes, sizeof(bytes));
        write_head(&w, init, segment, ticks ? *ticks : info.start_ticks, lasts, size);
        struct buf *b = buf_new(w.len + size);
        memcpy(b->data, bytes, w.len);
        memcpy(b->data + w.len, data + from, size);
        return b;
}

struct buf *keyframe_cut(const uint8_t *data, size_t len, const struct init_info *init, uint32_t segment)
{
        return cut(data, len, init, segment, NULL, init->timescale);
}

struct buf *keyframe_hold(const uint8_t *data, size_t len, const struct init_info *init, uint32_t segment, uint64_t ticks, uint32_t lasts_ticks)
{
        return cut(data, len, init, segment, &ticks, lasts_ticks);
}

struct buf *keyframe_playlist(const struct session *s, const struct track *t, const struct manifest_options *o)
{
        struct playlist_span span = playlist_span(s, t);
        struct m3u8 x = {0};
        struct gaps gaps;
        char iso[CLOCK_ISO_MAX];
        bool live = s->state == SESSION_LIVE;
        if (live && span.first < span.end - o->time_shift_s)
                span.first = span.end - o->time_shift_s;
        m3u8_fmt(&x, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:1\n#EXT-X-I-FRAMES-ONLY\n%s#EXT-X-MEDIA-SEQUENCE:%" PRId64
                     "\n#EXT-X-MAP:URI=\"init.mp4\"\n", CLASSIC_VERSION, live ? "" : "#EXT-X-PLAYLIST-TYPE:VOD\n", span.first);
        gaps_begin(&gaps, t, (uint32_t)span.first);
        for (int64_t n = span.first; n < span.end; n++) {
                if (n == span.first || n % DATE_EVERY == 0)
                        m3u8_fmt(&x, "#EXT-X-PROGRAM-DATE-TIME:%s\n", clock_iso(iso, sizeof(iso), s->epoch_us + n * SEGMENT_US));
                if (gaps_have(&gaps, n))
                        m3u8_put(&x, "#EXT-X-GAP\n");
                m3u8_key(&x, n);
        }
        if (!live)
                m3u8_put(&x, "#EXT-X-ENDLIST\n");
        return m3u8_end(&x);
}
