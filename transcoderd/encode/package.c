#include "transcoderd/encode/package.h"

#include <assert.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/encode/cues.h"
#include "transcoderd/encode/grid.h"

/* Samples lie 1 ms apart at least (PICTURES_APART_US), so a chunk of CHUNK_MS has at most 201 of them. */
#define SAMPLES_MAX 256
#define AVIO_BYTES 32768
#define NTP_EPOCH_S INT64_C(2208988800)
#define TRACK_ID 1
#define SAMPLE_MAX_S 60 /* a hole too large to be filled is not the length of a sample either */

struct sample {
        AVPacket *pkt;
        int64_t ticks;
        bool slate;
};

struct package {
        struct package_options o;
        int64_t timescale;
        AVFormatContext *mux;
        uint8_t *out;
        size_t out_len, out_cap;
        struct buf *init;
        struct sample samples[SAMPLES_MAX];
        size_t count;
        struct buf *said; /* boxes before the chunk; NULL: none */
        int64_t end_ticks;        /* of the last cut chunk */
        int64_t prefixed_segment; /* the segment whose first chunk had its styp and prft; -1: none */
        int64_t sample_ticks;
        unsigned oversized;
        int64_t muxed_until; /* where the last fragment ends by its durations */
};

static int collect(void *opaque, uint8_t *data, int len)
{
        struct package *p = opaque;
        if (p->out_len + (size_t)len > p->out_cap) {
                p->out_cap = (p->out_len + (size_t)len) * 2;
                p->out = mem_resize(p->out, p->out_cap);
        }
        memcpy(p->out + p->out_len, data, (size_t)len);
        p->out_len += (size_t)len;
        return len;
}

static int mux_header(struct package *p)
{
        AVDictionary *opts = NULL;
        av_dict_set(&opts, "movflags",
                    "+cmaf+frag_custom+frag_discont+empty_moov+default_base_moof+skip_sidx+skip_trailer", 0);
        av_dict_set(&opts, "use_editlist", "0", 0);
        int rv = avformat_write_header(p->mux, &opts);
        av_dict_free(&opts);
        if (rv < 0)
                return ERR_CODEC;
        avio_flush(p->mux->pb);
        p->init = buf_copy(p->out, p->out_len);
        p->out_len = 0;
        return 0;
}

static int mux_open(struct package *p)
{
        if (avformat_alloc_output_context2(&p->mux, NULL, "mp4", NULL) < 0)
                return ERR_CODEC;
        p->mux->flags |= AVFMT_FLAG_BITEXACT | AVFMT_FLAG_CUSTOM_IO;
        p->mux->avoid_negative_ts = AVFMT_AVOID_NEG_TS_DISABLED;
        p->mux->pb = avio_alloc_context(av_malloc(AVIO_BYTES), AVIO_BYTES, 1, p, NULL, collect, NULL);
        AVStream *stream = avformat_new_stream(p->mux, NULL);
        if (!p->mux->pb || !stream)
                return ERR_CODEC;
        p->mux->pb->seekable = 0;
        if (avcodec_parameters_from_context(stream->codecpar, p->o.codec) < 0)
                return ERR_CODEC;
        stream->time_base = p->o.codec->time_base;
        return mux_header(p);
}

int package_open(struct package **out, const struct package_options *o)
{
        struct package *p = mem_alloc(sizeof(*p));
        p->o = *o;
        p->timescale = o->codec->time_base.den;
        p->prefixed_segment = -1;
        int err = mux_open(p);
        if (err)
                package_close(&p);
        *out = p;
        return err;
}

static struct grid_place place_of(const struct package *p, int64_t ticks)
{
        return grid_place(ticks, p->timescale, p->o.chunk_ms);
}

struct buf *package_init_segment(struct package *p)
{
        return buf_ref(p->init);
}

bool package_say(struct package *p, struct buf *boxes)
{
        if (p->said && boxes && p->said->len + boxes->len > CUES_BYTES_WAIT) {
                buf_unref(&boxes);
                return false;
        }
        p->said = cues_join(p->said, boxes);
        return true;
}

void package_add(struct package *p, AVPacket *pkt, int64_t ticks, bool slate)
{
        assert(p->count < SAMPLES_MAX);
        struct sample *s = &p->samples[p->count++];
        *s = (struct sample){.pkt = av_packet_alloc(), .ticks = ticks, .slate = slate};
        av_packet_move_ref(s->pkt, pkt);
}

/* styp and prft. The producer reference time is the capture time, a function of media time, so that any transcoder
 * writes the same bytes. */
static size_t prefix(const struct package *p, uint8_t *dst, size_t cap, int64_t ticks)
{
        struct writer w;
        int64_t wall_us = p->o.epoch_us + grid_us(ticks, p->timescale);
        writer_init(&w, dst, cap);
        writer_u32(&w, 24);
        writer_bytes(&w, "stypmsdh", 8);
        writer_u32(&w, 0);
        writer_bytes(&w, "msdhcmfs", 8);
        writer_u32(&w, 32);
        writer_bytes(&w, "prft", 4);
        writer_u32(&w, 1u << 24 | 24); /* version 1; 24: the wall clock is that of the capture */
        writer_u32(&w, TRACK_ID);
        writer_u32(&w, (uint32_t)(wall_us / US_PER_S + NTP_EPOCH_S));
        writer_u32(&w, (uint32_t)(((uint64_t)(wall_us % US_PER_S) << 32) / US_PER_S));
        writer_u64(&w, (uint64_t)ticks);
        assert(writer_ok(&w));
        return w.len;
}

/* The muxer looks at frag_discont only after a packet has passed the check that it is not before the end of the
 * fragment before. That end may have been a forecast; an empty packet goes through the check and is thrown away. */
static void pass_order_check(struct package *p, int64_t ticks)
{
        uint8_t nothing[AV_INPUT_BUFFER_PADDING_SIZE] = {0};
        AVPacket *pkt = av_packet_alloc();
        pkt->data = nothing;
        pkt->dts = pkt->pts = ticks - 1;
        av_write_frame(p->mux, pkt);
        av_packet_free(&pkt);
}

static void mux_samples(struct package *p, int64_t last_ticks)
{
        /* For one fragment: take the sample's time for tfdt, not the sum of the durations so far. */
        av_opt_set(p->mux->priv_data, "movflags", "+frag_discont", 0);
        if (p->muxed_until > p->samples[0].ticks)
                pass_order_check(p, p->samples[0].ticks);
        p->muxed_until = p->samples[p->count - 1].ticks + last_ticks;
        for (size_t i = 0; i < p->count; i++) {
                struct sample *s = &p->samples[i];
                s->pkt->stream_index = 0;
                s->pkt->pts = s->pkt->dts = s->ticks;
                s->pkt->duration = i + 1 < p->count ? p->samples[i + 1].ticks - s->ticks : last_ticks;
                av_write_frame(p->mux, s->pkt);
                av_packet_free(&s->pkt);
        }
        av_write_frame(p->mux, NULL);
        avio_flush(p->mux->pb);
}

/* The muxer counts fragments since it was opened; a chunk's number is to be a function of its place (mfhd, ISO/IEC
 * 14496-12, 8.8.5), so that any transcoder writes the same. The fragment is moof(8) mfhd(8) version and flags(4), number. */
static void number_fragment(struct package *p, const struct grid_place *at)
{
        struct writer w;
        assert(p->out_len >= 24 && memcmp(p->out + 4, "moof", 4) == 0 && memcmp(p->out + 12, "mfhd", 4) == 0);
        writer_init(&w, p->out + 20, 4);
        writer_u32(&w, at->segment * chunks_of_segment(p->o.chunk_ms) + at->chunk + 1);
}

static uint8_t chunk_flags(const struct package *p)
{
        for (size_t i = 0; i < p->count; i++)
                if (p->samples[i].slate)
                        return PUT_SLATE;
        return 0;
}

/* last_ticks: duration of the last sample; end_ticks: where the chunk is said to end. */
static void cut(struct package *p, int64_t last_ticks, int64_t end_ticks, bool last_of_segment)
{
        int64_t start = p->samples[0].ticks;
        if (last_ticks > SAMPLE_MAX_S * p->timescale)
                last_ticks = SAMPLE_MAX_S * p->timescale;
        struct grid_place at = place_of(p, start);
        struct chunk c = {
                .flags = chunk_flags(p) | (last_of_segment ? PUT_LAST : 0),
                .segment = at.segment,
                .chunk = at.chunk,
                .start_us = grid_us(start, p->timescale),
        };
        c.duration_us = grid_us(end_ticks, p->timescale) - c.start_us;

        uint8_t head[64];
        size_t head_len = p->prefixed_segment == at.segment ? 0 : prefix(p, head, sizeof(head), start);
        p->prefixed_segment = at.segment;
        if (p->count > 1)
                p->sample_ticks = (p->samples[p->count - 1].ticks - start) / ((int64_t)p->count - 1);
        else
                p->sample_ticks = last_ticks;
        mux_samples(p, last_ticks);
        number_fragment(p, &at);
        p->count = 0;
        p->end_ticks = end_ticks;
        struct buf *said = p->said;
        size_t said_len = said ? said->len : 0, moof_at = head_len + said_len;
        p->said = NULL;
        if (moof_at + p->out_len > BODY_MAX) {
                p->oversized++;
                p->out_len = 0;
                buf_unref(&said);
                return;
        }
        c.bytes = buf_new(moof_at + p->out_len);
        memcpy(c.bytes->data, head, head_len);
        if (said)
                memcpy(c.bytes->data + head_len, said->data, said_len);
        memcpy(c.bytes->data + moof_at, p->out, p->out_len);
        p->out_len = 0;
        buf_unref(&said);
        c.made_wall_us = clock_wall_us();
        p->o.chunk(p->o.arg, &c);
}

void package_next(struct package *p, int64_t ticks)
{
        if (p->count == 0)
                return;
        int64_t last = p->samples[p->count - 1].ticks;
        struct grid_place held = place_of(p, p->samples[0].ticks), next = place_of(p, ticks);
        assert(ticks > last);
        if (!grid_same_chunk(&held, &next))
                cut(p, ticks - last, ticks, next.segment != held.segment);
}

void package_early(struct package *p, int64_t expected_ticks)
{
        if (p->count == 0)
                return;
        int64_t last = p->samples[p->count - 1].ticks;
        struct grid_place held = place_of(p, p->samples[0].ticks), next = place_of(p, expected_ticks);
        /* Said to end on the grid, not where the next sample is expected: a writer that continues after this one must
         * not step over a sample that comes a little sooner. */
        if (!grid_same_chunk(&held, &next))
                cut(p, expected_ticks - last, held.end_ticks, next.segment != held.segment);
}

int64_t package_finish(struct package *p, int64_t last_sample_ticks, int64_t next_ticks, bool goes_on)
{
        if (p->count > 0) {
                int64_t last = p->samples[p->count - 1].ticks, end = last + last_sample_ticks;
                struct grid_place held = place_of(p, p->samples[0].ticks), next = place_of(p, end);
                /* How long the last sample lasts is a guess, for the next writer has the picture that ends it. It goes on where
                 * this chunk is said to end: said to end later than the next picture comes, that would be lost. */
                cut(p, last_sample_ticks, goes_on ? last + next_ticks : end, !goes_on || next.segment != held.segment);
        }
        return p->end_ticks;
}

/* moof, mfhd, traf, tfhd, tfdt, trun and the head of mdat are 128 bytes and up to 12 for each sample. */
int64_t package_overhead_bps(int64_t samples_a_second, unsigned chunk_ms)
{
        return 8 * (24 + 32 + chunks_of_segment(chunk_ms) * INT64_C(128) + samples_a_second * 12);
}

int64_t package_sample_ticks(const struct package *p)
{
        return p->sample_ticks;
}

unsigned package_oversized(const struct package *p)
{
        return p->oversized;
}

void package_close(struct package **pp)
{
        struct package *p = *pp;
        *pp = NULL;
        if (!p)
                return;
        for (size_t i = 0; i < p->count; i++)
                av_packet_free(&p->samples[i].pkt);
        if (p->mux && p->mux->pb) {
                av_freep(&p->mux->pb->buffer);
                avio_context_free(&p->mux->pb);
        }
        avformat_free_context(p->mux);
        buf_unref(&p->init);
        buf_unref(&p->said);
        free(p->out);
        free(p);
}
