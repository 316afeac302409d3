#include <stddef.h>

#include "common/clock.h"
#include "common/cluster/rpc_gate_impl.h"

bool rpc_gate_shakes(int fd)
{
        pthread_mutex_lock(&rpc_gate_lock);
        struct line *l = line_of_fd(fd);
        bool may = !l || !l->caller || rpc_handshakes_may(&l->gate->handshakes, l->caller->address, clock_mono_us());
        pthread_mutex_unlock(&rpc_gate_lock);
        return may;
}

static bool make_room(struct rpc_gate *g)
{
        struct message_under_way *slowest;
        while ((slowest = under_way_excess(&g->under_way))) {
                struct line *l = (struct line *)((char *)slowest - offsetof(struct line, message));
                rpc_fault_count(RPC_FAULT_UNDER_WAY);
                under_way_ended(&g->under_way, slowest);
                line_shut_down(l);
        }
        return !under_way_full(&g->under_way);
}

/* nng allocates it as soon as it knows the length. */
static bool begin_message(struct line *l, uint64_t len)
{
        if (len > l->message_max || (l->stranger && ++l->messages > STRANGER_MESSAGES_MAX)) {
                rpc_fault_count(l->stranger ? RPC_FAULT_BYTES : RPC_FAULT_TOO_LONG);
                line_no_stranger(l);
                return false;
        }
        under_way_end(&l->gate->under_way, &l->message);
        under_way_begin(&l->gate->under_way, &l->message, (size_t)len);
        if (make_room(l->gate))
                return true;
        rpc_fault_count(RPC_FAULT_UNDER_WAY);
        under_way_end(&l->gate->under_way, &l->message); /* there will be no memory for it */
        return false;
}

static bool hear(struct line *l, const uint8_t *data, size_t n)
{
        enum sp_event event;
        uint64_t len = 0;
        while (n > 0) {
                size_t took = sp_frames_feed(&l->frames, data, n, &event, &len);
                data += took;
                n -= took;
                if (event == SP_GARBAGE || (event == SP_MESSAGE && !begin_message(l, len)))
                        return false;
                if (l->frames.left == 0)
                        under_way_arrived(&l->gate->under_way, &l->message);
        }
        return !l->ended;
}

/* nng reads the next length when a context has taken the message before. */
static void want(struct line *l)
{
        if (sp_frames_between(&l->frames))
                under_way_end(&l->gate->under_way, &l->message);
}

void rpc_gate_reads(int fd)
{
        pthread_mutex_lock(&rpc_gate_lock);
        struct line *l = line_of_fd(fd);
        if (l && !(l->gate->kind & GATE_TLS))
                want(l);
        pthread_mutex_unlock(&rpc_gate_lock);
}

static bool has_read(struct line *l, const struct iovec *iov, int count, size_t n)
{
        if (n == 0)
                return l->pipe != 0; /* before, nng's listener would pause for a tenth of a second */
        l->wire_bytes += n;
        if (l->stranger && l->wire_bytes > STRANGER_BYTES_MAX) {
                rpc_fault_count(RPC_FAULT_BYTES);
                line_no_stranger(l);
                return false;
        }
        bool good = !l->ended;
        for (int i = 0; i < count && n > 0 && good && !(l->gate->kind & GATE_TLS); i++) {
                size_t part = iov[i].iov_len < n ? iov[i].iov_len : n;
                good = hear(l, iov[i].iov_base, part);
                n -= part;
        }
        return good;
}

bool rpc_gate_has_read(int fd, const struct iovec *iov, int count, size_t n)
{
        pthread_mutex_lock(&rpc_gate_lock);
        struct line *l = line_of_fd(fd);
        bool good = !l || has_read(l, iov, count, n);
        pthread_mutex_unlock(&rpc_gate_lock);
        return good;
}

void rpc_gate_wants(int fd)
{
        if (!rpc_gate_watches(fd))
                return;
        pthread_mutex_lock(&rpc_gate_lock);
        struct line *l = line_of_fd(fd);
        if (l)
                want(l);
        pthread_mutex_unlock(&rpc_gate_lock);
}

bool rpc_gate_hears(int fd, const uint8_t *data, size_t n)
{
        if (!rpc_gate_watches(fd))
                return true;
        pthread_mutex_lock(&rpc_gate_lock);
        struct line *l = line_of_fd(fd);
        bool good = !l || hear(l, data, n);
        pthread_mutex_unlock(&rpc_gate_lock);
        return good;
}
