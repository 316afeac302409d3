/* serve.h - FETCH, whoever asks: resolves a key, answers with what there is, or holds the question until there is more.
 *
 *   serve()         → done() exactly once: at once (from inside the call), or later
 *   serve_changed() a session moved: its questions are looked at again
 *   serve_stop()    every question that is held is answered (ERR_NOT_YET), and later ones are not held; then close
 *                   elsewhere.link
 * What has to be read from a file waits for its turn (askers.h), and is told ERR_FULL when its asker has too much waiting
 * already, or when there was no turn for it in READ_WAIT_US. So is who asks for a recording as one file while others are laid out, as many as
 * may be (layouts.h), and they take longer than he waits.
 * What is lacking here while another origin has it is asked there, on the asker's behalf. What the archive alone has is read from there,
 * in a line of its own: a slow object store takes no turn at the disk. When it fails that is never "not found".
 * Loop thread only; http.c comes through the mailbox. */
#ifndef ORIGIND_SERVE_H
#define ORIGIND_SERVE_H

#include <stdbool.h>
#include <uv.h>

#include "originD/archive/archive.h"
#include "originD/askers.h"
#include "originD/manifest.h"
#include "originD/recording_find.h"
#include "originD/replica/peer_link.h"
#include "originD/store.h"
#include "originD/streams.h"
#include "proto/fetch.h"
#include "proto/key.h"

#define LIVE_READ_SEGMENTS 60 /* up to so far behind the end of a live track a read is a live viewer's */
#define READ_WAIT_US (3 * US_PER_S) /* at least as long a question that is not held may wait for its turn */
#define SERVE_BUCKETS 1024
#define DUE_LATENCY_MS 500 /* so long after a segment begins its first chunk is mostly here */
#define DUE_SOON_SEGMENTS 5 /* beyond the live edge, that a question is held for */

struct serve_answer {
        int status; /* as struct fetch_reply; ERR_IO too; ERR_UNSUPPORTED: it is asked for what cannot be, and bytes say why */
        uint8_t flags;
        uint32_t ttl_ms;
        const char *content_type;
        struct buf *bytes; /* borrowed until done() returns: take a reference. The answer is [from, from + len) of it */
        size_t from, len;
        uint64_t size; /* of the object, when FETCH_COMPLETE is known to come: as of now otherwise */
        bool complete; /* nothing will be added to the object */
        bool kept;     /* serve_taken() is to be told */
        uint64_t identity; /* of what comes in pieces: pieces with another one are of another file */
};

struct serve_request {
        char key[KEY_MAX + 1];
        uint64_t offset;
        uint32_t wait_ms;
        uint32_t max_bytes; /* of one answer */
        uint8_t hops;       /* as struct fetch */
        bool from_node;     /* it came by nng: the keys for other origins may be asked */
        uint64_t asker;     /* which connection, or address: askers.h. Not the same for nng and HTTP */
        uint8_t part, part_chunks; /* only that part of the segment that key names (proto/parts.h); part_chunks 0: all of it */
        bool slow_taker;    /* what is read for it stays in memory until serve_taken() says that it is not needed any more */
        void (*done)(struct serve_request *r, const struct serve_answer *a);
        /* private */
        struct key parsed;
        struct asking asking;
        int64_t deadline_us;
        struct serve_request *next, **prev; /* while held */
        struct serve_request *next_of_stream, **prev_of_stream; /* of those held, in its stream's bucket */
        struct session *pinned;             /* while its file is read */
        struct chunk_log *log;              /* of its file */
        struct buf *reading;
        struct serve *serve;
        struct segment_view view;
        uint64_t view_at, object_bytes; /* where it begins in what is asked for, and how long that is now */
        struct recording_place place; /* of KEY_RECORDING */
        struct recording_plan plan;   /* from piece to piece: who asks for a recording in pieces keeps the request for them */
        uint64_t whole, identity;     /* of the object that the place is in: its size, and what its file is made of */
        uint32_t none_ttl_ms;
        uint32_t due_ms; /* LOOK_WAIT: there can be nothing before */
        bool by_time;    /* LOOK_WAIT: it hangs on time, too, whether there is something */
        enum read_kind wants;
        bool wants_room; /* it waits until another recording is laid out (layouts.h) */
        bool one_by_one; /* of several segments of the recording one could not be read: what can be is given */
        bool stands_in;      /* what it asks for is made of segment parsed.segment, */
        uint32_t stands_for; /* and stands for this one (stand_in.h) */
        unsigned back; /* so many seconds before the one that it asks for: KEY_PICTURE, a poster */
        unsigned asked_elsewhere; /* so many other origins */
};

/* Another origin that has more of what is asked for. */
struct serve_elsewhere {
        /* The id of the nth of them, from 0 on; NULL: there are no more. than: only if it has a newer session of the stream. */
        const char *(*who)(void *arg, const struct key *key, const struct session *than, unsigned nth);
        void *arg;
        struct peer_link *link;
};

/* What this origin has told operators of, for "/peer/events" (webhooks.h). */
struct serve_events {
        struct buf *(*settled)(void *arg); /* the caller's to unref */
        void *arg;
};

struct serve {
        uv_loop_t *loop;
        struct store *store;
        struct manifest_options manifest;
        uv_timer_t timer; /* runs while something is held */
        struct serve_request *held;
        size_t held_count, held_names; /* held_names: of them, edges that wait for names */
        struct serve_request *of_stream[SERVE_BUCKETS]; /* the same ones by stream: a chunk is of interest to few of them */
        struct askers askers; /* who waits, who reads */
        bool going_through; /* the held ones: see give_turns() */
        bool stopping;
        bool settled; /* what is here can be told: until then questions about media are held, but for those of recordings */
        struct serve_elsewhere elsewhere; /* who NULL: there are no others */
        size_t asking_elsewhere;
        struct archive *archive; /* NULL: there is none, and what only it has cannot be read */
        struct serve_events events; /* settled NULL: nothing is told */
        struct serve_list {
                struct buf *text; /* as of made_mono_us, for all its pages */
                int64_t made_mono_us;
                struct streams_making *making; /* the next one; NULL: none is made */
                uv_idle_t steps; /* while one is */
        } streams;
        struct streams_known known;
        struct layouts layouts;
        uint64_t layouts_freed; /* who waits for room has been looked at for all of it up to here */
        uint64_t names_told; /* who waits for new names has been looked at for all changes up to this one */
};

void serve_open(struct serve *sv, uv_loop_t *loop, struct store *store, const struct manifest_options *manifest,
                size_t waits_of_one); /* questions of one asker that may wait */
void serve_unsettled(struct serve *sv); /* at first, until … Before the store has started, what is not in it is ERR_NOT_YET */
void serve_settled(struct serve *sv);
void serve(struct serve *sv, struct serve_request *r);
void serve_taken(struct serve *sv, struct serve_request *r); /* after done(), of a slow_taker; harmless if nothing was kept */
void serve_changed(struct serve *sv, struct session *s);
void serve_stop(struct serve *sv);
void serve_close(struct serve *sv);

#endif
