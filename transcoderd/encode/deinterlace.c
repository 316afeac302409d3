#include "transcoderd/encode/deinterlace.h"

#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/daemon/log.h"
#include "common/mem.h"
#include "transcoderd/encode/slow.h"

#define READY_MAX 4 /* put: the one that was held, and this one; flush: the one that was held */

struct deinterlacer {
        int threads;
        AVFilterGraph *graph; /* NULL: nothing is held */
        AVFilterContext *source, *sink;
        AVFrame *held; /* also in the graph, as its newest one */
        bool alone;    /* no other was in the graph */
        AVFrame *ready[READY_MAX]; /* in the order of their times */
        size_t ready_count;
        AVFrame *given;
        bool complained;
};

struct deinterlacer *deinterlace_new(int threads)
{
        struct deinterlacer *d = mem_alloc(sizeof(*d));
        d->threads = threads > 0 ? threads : 1;
        return d;
}

static void close_graph(struct deinterlacer *d)
{
        avfilter_graph_free(&d->graph);
        av_frame_free(&d->held);
}

void deinterlace_drop(struct deinterlacer *d)
{
        close_graph(d);
        while (d->ready_count > 0)
                av_frame_free(&d->ready[--d->ready_count]);
}

void deinterlace_free(struct deinterlacer **dp)
{
        struct deinterlacer *d = *dp;
        *dp = NULL;
        if (!d)
                return;
        deinterlace_drop(d);
        av_frame_free(&d->given);
        free(d);
}

static void make_ready(struct deinterlacer *d, AVFrame *pic)
{
        if (pic && d->ready_count < READY_MAX)
                d->ready[d->ready_count++] = pic;
        else
                av_frame_free(&pic);
}

static int link_filters(struct deinterlacer *d, const AVFrame *pic)
{
        char source[128];
        AVFilterContext *bwdif = NULL;
        AVRational a = pic->sample_aspect_ratio;
        snprintf(source, sizeof(source), "video_size=%dx%d:pix_fmt=%d:time_base=1/1000000:pixel_aspect=%d/%d", pic->width,
                 pic->height, pic->format, a.num, a.den > 0 ? a.den : 1);
        int rv = avfilter_graph_create_filter(&d->source, avfilter_get_by_name("buffer"), "in", source, NULL, d->graph);
        if (rv >= 0)
                rv = avfilter_graph_create_filter(&bwdif, avfilter_get_by_name("bwdif"), "bwdif",
                                                  "mode=send_frame:parity=auto:deint=interlaced", NULL, d->graph);
        if (rv >= 0)
                rv = avfilter_graph_create_filter(&d->sink, avfilter_get_by_name("buffersink"), "out", NULL, NULL, d->graph);
        if (rv >= 0)
                rv = avfilter_link(d->source, 0, bwdif, 0);
        if (rv >= 0)
                rv = avfilter_link(bwdif, 0, d->sink, 0);
        return rv < 0 ? rv : avfilter_graph_config(d->graph, NULL);
}

static bool open_graph(struct deinterlacer *d, const AVFrame *pic)
{
        d->graph = avfilter_graph_alloc();
        d->graph->nb_threads = d->threads;
        d->alone = true;
        if (link_filters(d, pic) >= 0)
                return true;
        close_graph(d);
        if (!d->complained)
                log_warn("msg=\"interlaced pictures of this format cannot be deinterlaced\" size=%dx%d format=%d", pic->width,
                         pic->height, pic->format);
        d->complained = true;
        return false;
}

/* The filter counts in half the source's unit, so that a picture could stand between two. */
static void take_out(struct deinterlacer *d)
{
        AVFrame *out = av_frame_alloc();
        while (av_buffersink_get_frame(d->sink, out) >= 0) {
                out->pts = av_rescale_q(out->pts, av_buffersink_get_time_base(d->sink), (AVRational){1, 1000000});
                make_ready(d, out);
                out = av_frame_alloc();
        }
        av_frame_free(&out);
}

static bool put_in(struct deinterlacer *d, const AVFrame *pic)
{
        AVFrame *f = av_frame_clone(pic);
        if (av_buffersrc_add_frame_flags(d->source, f, AV_BUFFERSRC_FLAG_KEEP_REF) < 0) {
                av_frame_free(&f);
                return false;
        }
        d->alone = !d->held;
        av_frame_free(&d->held);
        d->held = f;
        take_out(d);
        return true;
}

void deinterlace_flush(struct deinterlacer *d)
{
        if (!d->graph)
                return;
        /* At the end of all the filter takes what is missing to be as the picture is, which makes one without neighbours a
         * picture that stands still, and leaves its two moments in it. The first of two it makes of itself alone. */
        if (d->held && d->alone)
                put_in(d, d->held);
        else if (av_buffersrc_add_frame_flags(d->source, NULL, 0) >= 0)
                take_out(d);
        close_graph(d); /* one that has ended takes nothing more */
}

static bool is_neighbour(const AVFrame *held, const AVFrame *pic)
{
        return pic->width == held->width && pic->height == held->height && pic->format == held->format && pic->pts > held->pts &&
               pic->pts - held->pts < SLOW_GAP_US;
}

void deinterlace_put(struct deinterlacer *d, const AVFrame *pic)
{
        if (d->held && !is_neighbour(d->held, pic))
                deinterlace_flush(d);
        bool inside = (d->graph || (pic->interlaced_frame && open_graph(d, pic))) && put_in(d, pic);
        if (!inside || !pic->interlaced_frame)
                deinterlace_flush(d);
        if (!inside)
                make_ready(d, av_frame_clone(pic));
}

const AVFrame *deinterlace_get(struct deinterlacer *d)
{
        av_frame_free(&d->given);
        if (d->ready_count == 0)
                return NULL;
        d->given = d->ready[0];
        d->ready_count--;
        for (size_t i = 0; i < d->ready_count; i++)
                d->ready[i] = d->ready[i + 1];
        return d->given;
}

bool deinterlace_holds(const struct deinterlacer *d)
{
        return d->held != NULL;
}
