#include "transcoderd/encode/sps.h"

#include <stdbool.h>

#include "common/bytes.h"
#include "common/err.h"

#define MACROBLOCK 16
#define EXP_GOLOMB_MAX 31   /* leading zeros; more is no number of 32 bits */
#define FPS_MILLI_MAX 240000

/* Bits of a NAL unit; an emulation prevention byte, the 3 behind two zeros, is none of them. Beyond the end, and after err, zeros. */
struct bits {
        const uint8_t *data;
        size_t len, at;
        unsigned left, zeros; /* bits of the byte; zero bytes in a row before it */
        bool err;
};

static unsigned bit(struct bits *b)
{
        if (b->left == 0) {
                if (b->at < b->len && b->zeros >= 2 && b->data[b->at] == 3) {
                        b->at++;
                        b->zeros = 0;
                }
                if (b->at >= b->len) {
                        b->err = true;
                        return 0;
                }
                b->zeros = b->data[b->at] ? 0 : b->zeros + 1;
                b->at++;
                b->left = 8;
        }
        return b->data[b->at - 1] >> --b->left & 1;
}

static uint32_t number(struct bits *b, unsigned count)
{
        uint32_t n = 0;
        while (count-- > 0)
                n = n << 1 | bit(b);
        return n;
}

/* ue(v) of the standard, section 9.1. */
static uint32_t golomb(struct bits *b)
{
        unsigned zeros = 0;
        while (!b->err && bit(b) == 0)
                zeros++;
        if (zeros > EXP_GOLOMB_MAX)
                b->err = true;
        return b->err ? 0 : (uint32_t)((UINT64_C(1) << zeros) - 1) + number(b, zeros);
}

/* se(v); only zero or not, and how far to the next field, matters of it here. */
static int32_t signed_golomb(struct bits *b)
{
        uint32_t n = golomb(b);
        return n & 1 ? (int32_t)(n / 2) + 1 : -(int32_t)(n / 2);
}

static void skip_scaling_list(struct bits *b, unsigned size)
{
        int32_t last = 8, next = 8;
        for (unsigned i = 0; i < size && !b->err; i++) {
                if (next != 0)
                        next = (last + signed_golomb(b) % 256 + 256) % 256;
                last = next == 0 ? last : next;
        }
}

static bool has_chroma_format(unsigned profile)
{
        static const uint8_t those[] = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135};
        for (size_t i = 0; i < sizeof(those); i++)
                if (those[i] == profile)
                        return true;
        return false;
}

static void skip_chroma_format(struct bits *b)
{
        uint32_t chroma = golomb(b);
        if (chroma == 3)
                bit(b);
        golomb(b); /* bit depths */
        golomb(b);
        bit(b);
        unsigned lists = bit(b) ? (chroma == 3 ? 12 : 8) : 0;
        for (unsigned i = 0; i < lists; i++)
                if (bit(b))
                        skip_scaling_list(b, i < 6 ? 16 : 64);
}

static void skip_order_count(struct bits *b)
{
        uint32_t kind = golomb(b);
        if (kind == 0)
                golomb(b);
        if (kind != 1)
                return;
        bit(b);
        golomb(b);
        golomb(b);
        uint32_t cycle = golomb(b);
        for (uint32_t i = 0; i < cycle && i < 256 && !b->err; i++)
                golomb(b);
}

/* Of the usability information, up to the rate. */
static uint32_t read_rate(struct bits *b)
{
        if (bit(b) && number(b, 8) == 255) /* aspect ratio */
                number(b, 32);
        if (bit(b)) /* overscan */
                bit(b);
        if (bit(b)) { /* video signal */
                number(b, 4);
                if (bit(b))
                        number(b, 24);
        }
        if (bit(b)) { /* where chroma lies */
                golomb(b);
                golomb(b);
        }
        if (!bit(b))
                return 0;
        uint64_t tick = number(b, 32), scale = number(b, 32);
        uint64_t milli = tick && !b->err ? scale * 1000 / (tick * 2) : 0; /* two ticks a frame: it counts fields */
        return milli <= FPS_MILLI_MAX ? (uint32_t)milli : FPS_MILLI_MAX;
}

static int read_set(struct sps *out, struct bits *b)
{
        number(b, 8); /* the unit's header */
        unsigned profile = number(b, 8);
        number(b, 16); /* constraints, level */
        golomb(b);
        if (has_chroma_format(profile))
                skip_chroma_format(b);
        golomb(b); /* bits of a frame's number */
        skip_order_count(b);
        golomb(b); /* reference frames */
        bit(b);
        uint64_t width = (uint64_t)golomb(b) + 1, height = (uint64_t)golomb(b) + 1;
        unsigned fields = bit(b) ? 1 : 2;
        if (fields == 2)
                bit(b);
        bit(b);
        if (bit(b)) /* cropping */
                for (int i = 0; i < 4; i++)
                        golomb(b);
        if (b->err || width > SPS_SIDE_MAX / MACROBLOCK || height * fields > SPS_SIDE_MAX / MACROBLOCK)
                return ERR_PROTO;
        *out = (struct sps){.width = (int)width * MACROBLOCK, .height = (int)(height * fields) * MACROBLOCK};
        uint32_t fps_milli = bit(b) ? read_rate(b) : 0;
        out->fps_milli = b->err ? 0 : fps_milli;
        return 0;
}

int sps_of_record(struct sps *out, const uint8_t *record, size_t len_bytes)
{
        struct reader r;
        reader_init(&r, record, len_bytes);
        reader_skip(&r, 5);
        unsigned count = reader_u8(&r) & 0x1f;
        struct bits b = {.len = count ? reader_u16(&r) : 0};
        b.data = reader_bytes(&r, b.len);
        if (r.err)
                return ERR_PROTO;
        return count ? read_set(out, &b) : ERR_NOT_FOUND;
}
