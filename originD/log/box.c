#include "originD/log/box.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"

#define TIMESCALE_MAX 10000000u
#define TICKS_MAX (UINT64_C(1) << 56)
#define SAMPLES_MAX 65535u /* a record has 16 bits for it */

int box_header(struct reader *r, uint32_t *type, uint64_t *size_bytes, size_t *header_bytes)
{
        *header_bytes = 8;
        *size_bytes = reader_u32(r);
        *type = reader_u32(r);
        if (*size_bytes == 1) {
                *size_bytes = reader_u64(r);
                *header_bytes = 16;
        }
        if (r->err || *size_bytes < *header_bytes) {
                reader_fail(r);
                return ERR_PROTO;
        }
        return 0;
}

int box_next(struct reader *r, struct box *out)
{
        uint64_t size;
        size_t header;
        if (!reader_left(r))
                return r->err;
        out->start = r->p;
        if (box_header(r, &out->type, &size, &header) < 0)
                return ERR_PROTO;
        if (size - header > reader_left(r)) {
                reader_fail(r);
                return ERR_PROTO;
        }
        out->body_len = (size_t)(size - header);
        out->body = out->start + header;
        reader_skip(r, out->body_len);
        return 1;
}

int64_t box_ticks_to_us(uint64_t ticks, uint32_t timescale)
{
        return (int64_t)(((unsigned __int128)ticks * 1000000u + timescale / 2) / timescale);
}

/* The first child of that type. 1 found, 0 not there, ERR_PROTO. */
static int find_child(const struct box *parent, uint32_t type, struct box *out)
{
        struct reader r;
        reader_init(&r, parent->body, parent->body_len);
        for (;;) {
                int rc = box_next(&r, out);
                if (rc <= 0 || out->type == type)
                        return rc;
        }
}

static int find_path(const struct box *parent, const uint32_t *types, size_t count, struct box *out)
{
        struct box at = *parent;
        for (size_t i = 0; i < count; i++) {
                struct box child;
                int rc = find_child(&at, types[i], &child);
                if (rc <= 0)
                        return rc;
                at = child;
        }
        *out = at;
        return 1;
}

/* A full box's version and flags. */
static uint8_t read_version(struct reader *r, uint32_t *flags)
{
        uint8_t version = reader_u8(r);
        uint32_t f = reader_u24(r);
        if (flags)
                *flags = f;
        return version;
}

static void open_body(struct reader *r, const struct box *b)
{
        reader_init(r, b->body, b->body_len);
}

static int parse_avc(struct reader *entry, struct init_info *out)
{
        reader_skip(entry, 8 + 16);
        out->width = reader_u16(entry);
        out->height = reader_u16(entry);
        reader_skip(entry, 50);
        struct box b;
        int rc;
        while ((rc = box_next(entry, &b)) > 0) {
                if (b.type != BOX_TYPE('a', 'v', 'c', 'C'))
                        continue;
                struct reader r;
                open_body(&r, &b);
                reader_skip(&r, 1);
                unsigned profile = reader_u8(&r), compatible = reader_u8(&r), level = reader_u8(&r);
                if (r.err)
                        return ERR_PROTO;
                snprintf(out->codec, sizeof(out->codec), "avc1.%02x%02x%02x", profile, compatible, level);
        }
        return rc < 0 || !out->codec[0] || !out->width || !out->height ? ERR_PROTO : 0;
}

/* A JPEG file a sample, of which QuickTime has the name. */
static int parse_jpeg(struct reader *entry, struct init_info *out)
{
        reader_skip(entry, 8 + 16);
        out->width = reader_u16(entry);
        out->height = reader_u16(entry);
        snprintf(out->codec, sizeof(out->codec), "jpeg");
        return entry->err || !out->width || !out->height ? ERR_PROTO : 0;
}

/* ISO 14496-1, 8.3.3: sizes are seven bits a byte. */
static size_t descriptor(struct reader *r, uint8_t *tag)
{
        size_t len = 0;
        *tag = reader_u8(r);
        for (int i = 0; i < 4; i++) {
                uint8_t b = reader_u8(r);
                len = len << 7 | (b & 0x7f);
                if (!(b & 0x80))
                        break;
        }
        return len;
}

static int parse_esds(const struct box *esds, struct init_info *out)
{
        struct reader r;
        uint8_t tag;
        open_body(&r, esds);
        read_version(&r, NULL);
        descriptor(&r, &tag);
        if (tag != 0x03)
                return ERR_PROTO;
        reader_skip(&r, 2);
        uint8_t flags = reader_u8(&r);
        if (flags & 0xe0) /* depends on, has a URL, has a clock: not in CMAF */
                return ERR_UNSUPPORTED;
        descriptor(&r, &tag);
        if (tag != 0x04)
                return ERR_PROTO;
        unsigned object_type = reader_u8(&r);
        reader_skip(&r, 12);
        size_t len = descriptor(&r, &tag);
        if (tag != 0x05 || !len)
                return ERR_PROTO;
        unsigned first = reader_u8(&r), audio_type = first >> 3;
        if (audio_type == 31)
                audio_type = 32 + ((first & 7) << 3 | reader_u8(&r) >> 5);
        if (r.err)
                return ERR_PROTO;
        snprintf(out->codec, sizeof(out->codec), "mp4a.%02x.%u", object_type, audio_type);
        return 0;
}

static int parse_mp4a(struct reader *entry, struct init_info *out)
{
        reader_skip(entry, 8);
        if (reader_u16(entry) != 0) /* QuickTime's versions 1 and 2 carry more fields */
                return entry->err ? ERR_PROTO : ERR_UNSUPPORTED;
        reader_skip(entry, 6);
        out->channels = reader_u16(entry);
        reader_skip(entry, 6);
        out->sample_rate = reader_u32(entry) >> 16;
        struct box b;
        int rc;
        while ((rc = box_next(entry, &b)) > 0) {
                int esds = b.type == BOX_TYPE('e', 's', 'd', 's') ? parse_esds(&b, out) : 0;
                if (esds < 0)
                        return esds;
        }
        return rc < 0 || !out->codec[0] || !out->sample_rate || !out->channels ? ERR_PROTO : 0;
}

static const struct sample_entry {
        uint32_t type;
        enum track_kind kind;
        int (*parse)(struct reader *entry, struct init_info *out);
} sample_entries[] = {
        {BOX_TYPE('a', 'v', 'c', '1'), TRACK_VIDEO, parse_avc},
        {BOX_TYPE('m', 'p', '4', 'a'), TRACK_AUDIO, parse_mp4a},
        {BOX_TYPE('j', 'p', 'e', 'g'), TRACK_PICTURES, parse_jpeg},
};

static int parse_stsd(const struct box *stsd, struct init_info *out)
{
        struct reader r, entry;
        struct box b;
        open_body(&r, stsd);
        read_version(&r, NULL);
        if (reader_u32(&r) != 1 || box_next(&r, &b) <= 0)
                return ERR_PROTO;
        for (size_t i = 0; i < sizeof(sample_entries) / sizeof(sample_entries[0]); i++)
                if (sample_entries[i].type == b.type) {
                        out->kind = sample_entries[i].kind;
                        open_body(&entry, &b);
                        return sample_entries[i].parse(&entry, out);
                }
        return ERR_UNSUPPORTED;
}

static int parse_mdhd(const struct box *mdhd, struct init_info *out)
{
        struct reader r;
        open_body(&r, mdhd);
        reader_skip(&r, read_version(&r, NULL) == 1 ? 16 : 8);
        out->timescale = reader_u32(&r);
        return r.err || out->timescale == 0 || out->timescale > TIMESCALE_MAX ? ERR_PROTO : 0;
}

static int parse_tkhd(const struct box *tkhd, struct init_info *out)
{
        struct reader r;
        open_body(&r, tkhd);
        reader_skip(&r, read_version(&r, NULL) == 1 ? 16 : 8);
        out->track_id = reader_u32(&r);
        return r.err || !out->track_id ? ERR_PROTO : 0;
}

/* Nothing but tfdt may shift time: an edit that starts elsewhere than at 0 would, in the players that look at it. */
static int check_edits(const struct box *trak)
{
        static const uint32_t path[] = {BOX_TYPE('e', 'd', 't', 's'), BOX_TYPE('e', 'l', 's', 't')};
        struct box elst;
        int rc = find_path(trak, path, 2, &elst);
        if (rc <= 0)
                return rc;
        struct reader r;
        open_body(&r, &elst);
        uint8_t version = read_version(&r, NULL);
        uint32_t count = reader_u32(&r);
        for (uint32_t i = 0; i < count && !r.err; i++) {
                reader_skip(&r, version == 1 ? 8 : 4);
                int64_t media_time = version == 1 ? reader_i64(&r) : reader_i32(&r);
                reader_skip(&r, 4);
                if (media_time != 0 && !r.err)
                        return ERR_UNSUPPORTED;
        }
        return r.err;
}

static int parse_trak(const struct box *trak, struct init_info *out)
{
        static const uint32_t to_tkhd[] = {BOX_TYPE('t', 'k', 'h', 'd')};
        static const uint32_t to_mdhd[] = {BOX_TYPE('m', 'd', 'i', 'a'), BOX_TYPE('m', 'd', 'h', 'd')};
        static const uint32_t to_stsd[] = {BOX_TYPE('m', 'd', 'i', 'a'), BOX_TYPE('m', 'i', 'n', 'f'),
                                           BOX_TYPE('s', 't', 'b', 'l'), BOX_TYPE('s', 't', 's', 'd')};
        struct box tkhd, mdhd, stsd;
        if (find_path(trak, to_tkhd, 1, &tkhd) <= 0 || find_path(trak, to_mdhd, 2, &mdhd) <= 0 ||
            find_path(trak, to_stsd, 4, &stsd) <= 0)
                return ERR_PROTO;
        int rc = parse_tkhd(&tkhd, out);
        rc = rc ? rc : parse_mdhd(&mdhd, out);
        rc = rc ? rc : parse_stsd(&stsd, out);
        return rc ? rc : check_edits(trak);
}

static int parse_mvex(const struct box *mvex, struct init_info *out)
{
        struct box trex;
        struct reader r;
        if (find_child(mvex, BOX_TYPE('t', 'r', 'e', 'x'), &trex) <= 0)
                return ERR_PROTO;
        open_body(&r, &trex);
        reader_skip(&r, 4 + 4 + 4);
        out->default_duration = reader_u32(&r);
        out->default_size = reader_u32(&r);
        return r.err;
}

static int parse_moov(const struct box *moov, struct init_info *out)
{
        struct reader r;
        struct box b;
        unsigned tracks = 0, mvex = 0;
        int rc, err = 0;
        open_body(&r, moov);
        while (!err && (rc = box_next(&r, &b)) != 0) {
                if (rc < 0)
                        return ERR_PROTO;
                if (b.type == BOX_TYPE('t', 'r', 'a', 'k') && !tracks++)
                        err = parse_trak(&b, out);
                else if (b.type == BOX_TYPE('m', 'v', 'e', 'x') && !mvex++)
                        err = parse_mvex(&b, out);
        }
        return err ? err : tracks == 1 && mvex == 1 ? 0 : ERR_PROTO;
}

int box_init_parse(const uint8_t *data, size_t len_bytes, struct init_info *out)
{
        struct reader r;
        struct box b;
        *out = (struct init_info){0};
        reader_init(&r, data, len_bytes);
        if (box_next(&r, &b) <= 0 || b.type != BOX_TYPE('f', 't', 'y', 'p'))
                return ERR_PROTO;
        if (box_next(&r, &b) <= 0 || b.type != BOX_TYPE('m', 'o', 'o', 'v') || reader_left(&r))
                return ERR_PROTO;
        return parse_moov(&b, out);
}

struct traf {
        uint32_t default_duration, default_size;
        uint64_t data_from, data_to; /* from the moof's first byte on */
        bool has_tfhd, has_tfdt;
};

#define TFHD_BASE_DATA_OFFSET 0x01
#define TFHD_SAMPLE_DESCRIPTION 0x02
#define TFHD_DURATION 0x08
#define TFHD_SIZE 0x10
static int parse_tfhd(const struct box *b, const struct init_info *init, struct traf *t)
{
        struct reader r;
        uint32_t flags;
        open_body(&r, b);
        read_version(&r, &flags);
        if (reader_u32(&r) != init->track_id || flags & TFHD_BASE_DATA_OFFSET)
                return ERR_PROTO;
        if (flags & TFHD_SAMPLE_DESCRIPTION)
                reader_skip(&r, 4);
        t->default_duration = flags & TFHD_DURATION ? reader_u32(&r) : init->default_duration;
        t->default_size = flags & TFHD_SIZE ? reader_u32(&r) : init->default_size;
        t->has_tfhd = true;
        return r.err;
}

static int parse_tfdt(const struct box *b, struct traf *t, struct chunk_info *out)
{
        struct reader r;
        open_body(&r, b);
        out->start_ticks = read_version(&r, NULL) == 1 ? reader_u64(&r) : reader_u32(&r);
        t->has_tfdt = true;
        return r.err || out->start_ticks > TICKS_MAX ? ERR_PROTO : 0;
}

#define TRUN_DATA_OFFSET 0x01
#define TRUN_FIRST_FLAGS 0x04
#define TRUN_DURATION 0x100
#define TRUN_SIZE 0x200
#define TRUN_FLAGS 0x400
#define TRUN_CTS 0x800
static int parse_trun(const struct box *b, struct traf *t, struct chunk_info *out)
{
        struct reader r;
        uint32_t flags;
        open_body(&r, b);
        read_version(&r, &flags);
        uint32_t count = reader_u32(&r);
        if (r.err || !t->has_tfhd || count > SAMPLES_MAX - out->samples)
                return ERR_PROTO;
        if (flags & TRUN_DATA_OFFSET) {
                int32_t offset = reader_i32(&r);
                if (offset < 0 || (uint64_t)offset < t->data_to)
                        return ERR_PROTO;
                if (!t->data_from)
                        t->data_from = (uint64_t)offset;
                t->data_to = (uint64_t)offset;
        } else if (!t->data_from) {
                return ERR_PROTO;
        }
        if (flags & TRUN_FIRST_FLAGS)
                reader_skip(&r, 4);
        for (uint32_t i = 0; i < count && !r.err; i++) {
                out->duration_ticks += flags & TRUN_DURATION ? reader_u32(&r) : t->default_duration;
                t->data_to += flags & TRUN_SIZE ? reader_u32(&r) : t->default_size;
                reader_skip(&r, (flags & TRUN_FLAGS ? 4 : 0) + (flags & TRUN_CTS ? 4 : 0));
        }
        out->samples += count;
        return r.err;
}

static int parse_traf(const struct box *traf, const struct init_info *init, struct traf *t, struct chunk_info *out)
{
        struct reader r;
        struct box b;
        int rc, err = 0;
        open_body(&r, traf);
        while (!err && (rc = box_next(&r, &b)) != 0) {
                if (rc < 0)
                        return ERR_PROTO;
                if (b.type == BOX_TYPE('t', 'f', 'h', 'd'))
                        err = parse_tfhd(&b, init, t);
                else if (b.type == BOX_TYPE('t', 'f', 'd', 't'))
                        err = parse_tfdt(&b, t, out);
                else if (b.type == BOX_TYPE('t', 'r', 'u', 'n'))
                        err = parse_trun(&b, t, out);
        }
        return err;
}

static int parse_moof(const struct box *moof, const struct init_info *init, struct traf *t, struct chunk_info *out)
{
        struct reader r;
        struct box b;
        unsigned trafs = 0;
        int rc;
        open_body(&r, moof);
        while ((rc = box_next(&r, &b)) > 0)
                if (b.type == BOX_TYPE('t', 'r', 'a', 'f') && (trafs++ || parse_traf(&b, init, t, out) < 0))
                        return ERR_PROTO;
        return rc < 0 || trafs != 1 || !t->has_tfhd || !t->has_tfdt ? ERR_PROTO : 0;
}

int box_chunk_parse_head(const uint8_t *head, size_t head_bytes, uint64_t chunk_bytes, const struct init_info *init,
                         struct chunk_info *out)
{
        struct traf t = {0};
        struct reader r;
        struct box b = {0};
        uint32_t type;
        uint64_t size;
        size_t header;
        *out = (struct chunk_info){0};
        reader_init(&r, head, head_bytes);
        do {
                if (box_next(&r, &b) <= 0)
                        return ERR_PROTO;
                if (b.type == BOX_TYPE('m', 'o', 'o', 'f'))
                        break;
        } while (b.type == BOX_TYPE('s', 't', 'y', 'p') || b.type == BOX_TYPE('p', 'r', 'f', 't') ||
                 b.type == BOX_TYPE('e', 'm', 's', 'g'));
        if (b.type != BOX_TYPE('m', 'o', 'o', 'f') || parse_moof(&b, init, &t, out) < 0)
                return ERR_PROTO;
        const uint8_t *mdat = r.p;
        if (box_header(&r, &type, &size, &header) < 0 || type != BOX_TYPE('m', 'd', 'a', 't') || reader_left(&r))
                return ERR_PROTO;
        if (size != chunk_bytes - (uint64_t)(mdat - head) || !out->samples || !out->duration_ticks ||
            out->duration_ticks > UINT32_MAX)
                return ERR_PROTO;
        if (t.data_from < (uint64_t)(r.p - b.start) || t.data_to > chunk_bytes - (uint64_t)(b.start - head))
                return ERR_PROTO;
        return 0;
}

int box_chunk_length(const uint8_t *data, size_t len_bytes, size_t *head_bytes, uint64_t *chunk_bytes)
{
        struct reader r;
        size_t header;
        uint64_t size;
        uint32_t type;
        reader_init(&r, data, len_bytes);
        while (box_header(&r, &type, &size, &header) == 0) {
                if (type == BOX_TYPE('m', 'd', 'a', 't')) {
                        *head_bytes = (size_t)(r.p - data);
                        *chunk_bytes = *head_bytes + (size - header);
                        return *chunk_bytes < size ? ERR_PROTO : 0; /* more than can be counted */
                }
                if (size - header > reader_left(&r))
                        break;
                reader_skip(&r, (size_t)(size - header));
        }
        return ERR_PROTO;
}

int box_chunk_parse(const uint8_t *data, size_t len_bytes, const struct init_info *init, struct chunk_info *out)
{
        size_t head;
        uint64_t bytes;
        if (box_chunk_length(data, len_bytes, &head, &bytes))
                return ERR_PROTO;
        return box_chunk_parse_head(data, head, len_bytes, init, out);
}

const char *init_type(const struct init_info *init)
{
        return init->kind == TRACK_AUDIO ? INIT_TYPE_SOUND : INIT_TYPE_PICTURE;
}
