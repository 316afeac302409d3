#include "transcoderd/encode/picture_boxes.h"

#include <assert.h>
#include <string.h>

#include "common/bytes.h"
#include "proto/store.h"
#include "transcoderd/encode/grid.h"

#define TRACK_ID 1
#define HEAD_MAX 1024   /* all boxes, without a picture */
#define DEPTH_MAX 8
#define MATRIX_BYTES 36
#define LANGUAGE_UND 0x55c4
#define RESOLUTION_72 (72u << 16)
#define DEPENDS_ON_NOTHING 0x02000000
#define TFHD_BASE_IS_MOOF 0x020000
#define TRUN_OFFSET_DURATION_SIZE 0x000301

/* Boxes in boxes: each is closed when what is in it was written. */
struct boxes {
        uint8_t bytes[HEAD_MAX];
        struct writer w;
        size_t open[DEPTH_MAX], depth;
};

static void open_box(struct boxes *b, const char *type)
{
        assert(b->depth < DEPTH_MAX);
        b->open[b->depth++] = b->w.len;
        writer_u32(&b->w, 0);
        writer_bytes(&b->w, type, 4);
}

static void open_full(struct boxes *b, const char *type, uint8_t version, uint32_t flags)
{
        open_box(b, type);
        writer_u8(&b->w, version);
        writer_u24(&b->w, flags);
}

static void put_at(struct boxes *b, size_t at, uint32_t value)
{
        struct writer w;
        writer_init(&w, b->bytes + at, 4);
        writer_u32(&w, value);
}

static void close_box(struct boxes *b)
{
        size_t at = b->open[--b->depth];
        put_at(b, at, (uint32_t)(b->w.len - at));
}

static void zeros(struct boxes *b, size_t n)
{
        while (n--)
                writer_u8(&b->w, 0);
}

static void words(struct boxes *b, const uint32_t *values, size_t n)
{
        for (size_t i = 0; i < n; i++)
                writer_u32(&b->w, values[i]);
}

static void matrix(struct boxes *b)
{
        static const uint32_t unity[MATRIX_BYTES / 4] = {1u << 16, 0, 0, 0, 1u << 16, 0, 0, 0, 1u << 30};
        words(b, unity, MATRIX_BYTES / 4);
}

static void write_mvhd(struct boxes *b)
{
        open_full(b, "mvhd", 0, 0);
        words(b, (const uint32_t[]){0, 0, VIDEO_TIMESCALE, 0, 1u << 16}, 5);
        zeros(b, 12);
        matrix(b);
        zeros(b, 24);
        writer_u32(&b->w, TRACK_ID + 1);
        close_box(b);
}

static void write_tkhd(struct boxes *b, int width, int height)
{
        open_full(b, "tkhd", 0, 3); /* enabled, in the movie */
        words(b, (const uint32_t[]){0, 0, TRACK_ID, 0, 0}, 5);
        zeros(b, 16);
        matrix(b);
        words(b, (const uint32_t[]){(uint32_t)width << 16, (uint32_t)height << 16}, 2);
        close_box(b);
}

static void write_media_header(struct boxes *b)
{
        open_full(b, "mdhd", 0, 0);
        words(b, (const uint32_t[]){0, 0, VIDEO_TIMESCALE, 0, LANGUAGE_UND << 16}, 5);
        close_box(b);
        open_full(b, "hdlr", 0, 0);
        zeros(b, 4);
        writer_bytes(&b->w, "vide", 4);
        zeros(b, 13);
        close_box(b);
}

static void write_entry(struct boxes *b, int width, int height)
{
        static const char name[32] = "\4JPEG";
        open_box(b, "jpeg");
        zeros(b, 6);
        writer_u16(&b->w, 1);
        zeros(b, 16);
        writer_u16(&b->w, (uint16_t)width);
        writer_u16(&b->w, (uint16_t)height);
        words(b, (const uint32_t[]){RESOLUTION_72, RESOLUTION_72, 0}, 3);
        writer_u16(&b->w, 1);
        writer_bytes(&b->w, name, sizeof(name));
        writer_u16(&b->w, 24);
        writer_u16(&b->w, 0xffff);
        close_box(b);
}

static void write_sample_table(struct boxes *b, int width, int height)
{
        static const char *const empty[] = {"stts", "stsc", "stco"};
        open_box(b, "stbl");
        open_full(b, "stsd", 0, 0);
        writer_u32(&b->w, 1);
        write_entry(b, width, height);
        close_box(b);
        for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
                open_full(b, empty[i], 0, 0);
                zeros(b, 4);
                close_box(b);
        }
        open_full(b, "stsz", 0, 0);
        zeros(b, 8);
        close_box(b);
        close_box(b);
}

static void write_media(struct boxes *b, int width, int height)
{
        open_box(b, "mdia");
        write_media_header(b);
        open_box(b, "minf");
        open_full(b, "vmhd", 0, 1);
        zeros(b, 8);
        close_box(b);
        open_box(b, "dinf");
        open_full(b, "dref", 0, 0);
        writer_u32(&b->w, 1);
        open_full(b, "url ", 0, 1); /* in this very file */
        close_box(b);
        close_box(b);
        close_box(b);
        write_sample_table(b, width, height);
        close_box(b);
        close_box(b);
}

struct buf *picture_boxes_init(int width, int height)
{
        struct boxes b = {.depth = 0};
        writer_init(&b.w, b.bytes, sizeof(b.bytes));
        open_box(&b, "ftyp");
        writer_bytes(&b.w, "iso6\0\0\0\0iso6", 12);
        close_box(&b);
        open_box(&b, "moov");
        write_mvhd(&b);
        open_box(&b, "trak");
        write_tkhd(&b, width, height);
        write_media(&b, width, height);
        close_box(&b);
        open_box(&b, "mvex");
        open_full(&b, "trex", 0, 0);
        words(&b, (const uint32_t[]){TRACK_ID, 1, VIDEO_TIMESCALE, 0, DEPENDS_ON_NOTHING}, 5);
        close_box(&b);
        close_box(&b);
        close_box(&b);
        assert(writer_ok(&b.w));
        return buf_copy(b.bytes, b.w.len);
}

struct buf *picture_boxes_chunk(uint32_t segment, const struct buf *jpeg)
{
        struct boxes b = {.depth = 0};
        size_t len = jpeg ? jpeg->len : 0;
        writer_init(&b.w, b.bytes, sizeof(b.bytes));
        open_box(&b, "moof");
        open_full(&b, "mfhd", 0, 0);
        writer_u32(&b.w, segment * (1000 / CHUNK_MS) + 1); /* as of other tracks: a function of its place */
        close_box(&b);
        open_box(&b, "traf");
        open_full(&b, "tfhd", 0, TFHD_BASE_IS_MOOF);
        writer_u32(&b.w, TRACK_ID);
        close_box(&b);
        open_full(&b, "tfdt", 1, 0);
        writer_u64(&b.w, (uint64_t)segment * VIDEO_TIMESCALE);
        close_box(&b);
        open_full(&b, "trun", 0, TRUN_OFFSET_DURATION_SIZE);
        writer_u32(&b.w, 1);
        size_t offset_at = b.w.len;
        words(&b, (const uint32_t[]){0, VIDEO_TIMESCALE, (uint32_t)len}, 3);
        close_box(&b);
        close_box(&b);
        close_box(&b);
        put_at(&b, offset_at, (uint32_t)b.w.len + 8);
        open_box(&b, "mdat");
        assert(writer_ok(&b.w));
        put_at(&b, b.open[0], (uint32_t)(8 + len));
        struct buf *chunk = buf_new(b.w.len + len);
        memcpy(chunk->data, b.bytes, b.w.len);
        if (jpeg)
                memcpy(chunk->data + b.w.len, jpeg->data, len);
        return chunk;
}
