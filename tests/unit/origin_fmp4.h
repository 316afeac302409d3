/* origin_fmp4.h - small init segments and chunks for originD's tests, box by box. */
#ifndef TESTS_ORIGIN_FMP4_H
#define TESTS_ORIGIN_FMP4_H

#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/mem.h"

struct fmp4 {
        uint8_t bytes[1 << 20];
        struct writer w;
        size_t open[16], depth;
};

static inline void fmp4_open(struct fmp4 *f, const char *type)
{
        f->open[f->depth++] = f->w.len;
        writer_u32(&f->w, 0);
        writer_bytes(&f->w, type, 4);
}

static inline void fmp4_close(struct fmp4 *f)
{
        size_t at = f->open[--f->depth];
        struct writer w;
        writer_init(&w, f->bytes + at, 4);
        writer_u32(&w, (uint32_t)(f->w.len - at));
}

static inline void fmp4_zeros(struct fmp4 *f, size_t n)
{
        while (n--)
                writer_u8(&f->w, 0);
}

static inline struct fmp4 *fmp4_new(void)
{
        struct fmp4 *f = mem_alloc(sizeof(*f));
        writer_init(&f->w, f->bytes, sizeof(f->bytes));
        return f;
}

static inline struct buf *fmp4_end(struct fmp4 *f)
{
        struct buf *b = buf_copy(f->bytes, f->w.len);
        free(f);
        return b;
}

static inline void fmp4_video_entry(struct fmp4 *f, int width, int height)
{
        fmp4_open(f, "avc1");
        fmp4_zeros(f, 24);
        writer_u16(&f->w, (uint16_t)width);
        writer_u16(&f->w, (uint16_t)height);
        fmp4_zeros(f, 50);
        fmp4_open(f, "avcC");
        writer_bytes(&f->w, "\x01\x64\x00\x1f\xff\xe0\x00", 7);
        fmp4_close(f);
        fmp4_close(f);
}

static inline void fmp4_audio_entry(struct fmp4 *f)
{
        fmp4_open(f, "mp4a");
        fmp4_zeros(f, 16);
        writer_u16(&f->w, 2);
        writer_u16(&f->w, 16);
        fmp4_zeros(f, 4);
        writer_u32(&f->w, 48000u << 16);
        fmp4_open(f, "esds");
        fmp4_zeros(f, 4);
        writer_bytes(&f->w, "\x03\x80\x80\x80\x22\x00\x01\x00", 8);
        writer_bytes(&f->w, "\x04\x80\x80\x80\x14\x40\x15", 7);
        fmp4_zeros(f, 11);
        writer_bytes(&f->w, "\x05\x80\x80\x80\x02\x11\x90", 7);
        fmp4_close(f);
        fmp4_close(f);
}

static inline void fmp4_jpeg_entry(struct fmp4 *f, int width, int height)
{
        fmp4_open(f, "jpeg");
        fmp4_zeros(f, 24);
        writer_u16(&f->w, (uint16_t)width);
        writer_u16(&f->w, (uint16_t)height);
        fmp4_zeros(f, 50);
        fmp4_close(f);
}

enum { FMP4_SOUND, FMP4_VIDEO, FMP4_PICTURES };

/* edit: media time of an edit list's only entry; -2: none. */
static inline struct buf *fmp4_init_with(int video, int width, int height, int64_t edit)
{
        struct fmp4 *f = fmp4_new();
        fmp4_open(f, "ftyp");
        writer_bytes(&f->w, "cmf2\0\0\0\0", 8);
        fmp4_close(f);
        fmp4_open(f, "moov");
        fmp4_open(f, "trak");
        fmp4_open(f, "tkhd");
        fmp4_zeros(f, 12);
        writer_u32(&f->w, 1);
        fmp4_zeros(f, 68);
        fmp4_close(f);
        if (edit > -2) {
                fmp4_open(f, "edts");
                fmp4_open(f, "elst");
                fmp4_zeros(f, 4);
                writer_u32(&f->w, 1);
                writer_u32(&f->w, 0);
                writer_i32(&f->w, (int32_t)edit);
                writer_u32(&f->w, 1 << 16);
                fmp4_close(f);
                fmp4_close(f);
        }
        fmp4_open(f, "mdia");
        fmp4_open(f, "mdhd");
        fmp4_zeros(f, 12);
        writer_u32(&f->w, video ? 90000 : 48000);
        fmp4_zeros(f, 8);
        fmp4_close(f);
        fmp4_open(f, "minf");
        fmp4_open(f, "stbl");
        fmp4_open(f, "stsd");
        fmp4_zeros(f, 4);
        writer_u32(&f->w, 1);
        if (video == FMP4_PICTURES)
                fmp4_jpeg_entry(f, width, height);
        else if (video)
                fmp4_video_entry(f, width, height);
        else
                fmp4_audio_entry(f);
        fmp4_close(f);
        fmp4_close(f);
        fmp4_close(f);
        fmp4_close(f);
        fmp4_close(f);
        fmp4_open(f, "mvex");
        fmp4_open(f, "trex");
        fmp4_zeros(f, 4);
        writer_u32(&f->w, 1);
        writer_u32(&f->w, 1);
        fmp4_zeros(f, 12);
        fmp4_close(f);
        fmp4_close(f);
        fmp4_close(f);
        return fmp4_end(f);
}

static inline struct buf *fmp4_video_init(void)
{
        return fmp4_init_with(1, 1280, 720, -2);
}

static inline struct buf *fmp4_audio_init(void)
{
        return fmp4_init_with(0, 0, 0, -2);
}

static inline struct buf *fmp4_picture_init(void)
{
        return fmp4_init_with(FMP4_PICTURES, 320, 180, -2);
}

/* samples of `duration` ticks and `size` bytes each, from `start` ticks on. */
static inline struct buf *fmp4_chunk(uint64_t start, unsigned samples, uint32_t duration, uint32_t size)
{
        struct fmp4 *f = fmp4_new();
        fmp4_open(f, "styp");
        writer_bytes(&f->w, "cmfs\0\0\0\0", 8);
        fmp4_close(f);
        size_t moof = f->w.len;
        fmp4_open(f, "moof");
        fmp4_open(f, "mfhd");
        fmp4_zeros(f, 8);
        fmp4_close(f);
        fmp4_open(f, "traf");
        fmp4_open(f, "tfhd");
        writer_u32(&f->w, 0x020000);
        writer_u32(&f->w, 1);
        fmp4_close(f);
        fmp4_open(f, "tfdt");
        writer_u32(&f->w, 1u << 24);
        writer_u64(&f->w, start);
        fmp4_close(f);
        fmp4_open(f, "trun");
        writer_u32(&f->w, 0x301);
        writer_u32(&f->w, samples);
        size_t offset_at = f->w.len;
        writer_u32(&f->w, 0);
        for (unsigned i = 0; i < samples; i++) {
                writer_u32(&f->w, duration);
                writer_u32(&f->w, size);
        }
        fmp4_close(f);
        fmp4_close(f);
        fmp4_close(f);
        struct writer w;
        writer_init(&w, f->bytes + offset_at, 4);
        writer_u32(&w, (uint32_t)(f->w.len - moof + 8));
        fmp4_open(f, "mdat");
        uint8_t pattern[256];
        for (uint32_t i = 0; i < sizeof(pattern); i++)
                pattern[i] = (uint8_t)(start / 7 + i);
        for (uint32_t left = samples * size, n; left; left -= n) {
                n = left < sizeof(pattern) ? left : sizeof(pattern);
                writer_bytes(&f->w, pattern, n);
        }
        fmp4_close(f);
        return fmp4_end(f);
}

/* Chunk k (of five) of segment n: 25 fps video. */
static inline struct buf *fmp4_video_chunk(unsigned n, unsigned k, uint32_t size)
{
        return fmp4_chunk(n * UINT64_C(90000) + k * 18000, 5, 3600, size);
}

#endif
