#include "common/daemon/memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "common/daemon/metrics.h"

enum { SPARE, GIVEN_BACK };
static struct metric metrics[] = {
        [SPARE] = {.name = "freshet_memory_spare_bytes", .type = METRIC_GAUGE,
                   .help = "Memory that was freed and not given back to the system yet, up to 5 s ago."},
        [GIVEN_BACK] = {.name = "freshet_memory_given_back_bytes_total", .type = METRIC_COUNTER,
                        .help = "Memory that was given back to the system because much was spare."},
};

void memory_start(void)
{
        mallopt(M_MMAP_THRESHOLD, MEMORY_MAPPED_LEAST);
        mallopt(M_TRIM_THRESHOLD, MEMORY_HEAP_END_MOST);
        metrics_register(metrics, sizeof(metrics) / sizeof(metrics[0]));
}

/* Resident pages that are not of a file. 0: not known, as when no descriptor is free. */
static size_t resident_bytes(void)
{
        char text[128];
        size_t size = 0, resident = 0, shared = 0;
        int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (fd >= 0)
                close(fd);
        if (n <= 0)
                return 0;
        text[n] = '\0';
        if (sscanf(text, "%zu %zu %zu", &size, &resident, &shared) != 3 || resident < shared)
                return 0;
        return (resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

/* An allocator that is not glibc's, a sanitizer's for one, tells nothing: nothing is in use then. */
size_t memory_spare(size_t *used_bytes)
{
        struct mallinfo2 heap = mallinfo2();
        size_t resident = resident_bytes();
        *used_bytes = heap.uordblks + heap.hblkhd;
        return *used_bytes > 0 && resident > *used_bytes ? resident - *used_bytes : 0;
}

bool memory_is_much(size_t spare_bytes, size_t used_bytes)
{
        return spare_bytes > MEMORY_SPARE_LEAST && spare_bytes > used_bytes / 4;
}

bool memory_worth_a_try(struct memory_tries *t, size_t spare_bytes, size_t used_bytes, int64_t now_us)
{
        if (t->stays > spare_bytes)
                t->stays = spare_bytes;
        if (!memory_is_much(spare_bytes, used_bytes))
                return false;
        return memory_is_much(spare_bytes - t->stays, used_bytes) || now_us >= t->again_us;
}

/* Much more than was left by the try before cannot all be what never goes. */
void memory_tried(struct memory_tries *t, size_t left_bytes, size_t used_bytes, int64_t now_us)
{
        bool grew = left_bytes > t->stays && memory_is_much(left_bytes - t->stays, used_bytes);
        bool in_vain = memory_is_much(left_bytes, used_bytes) && !grew && t->pause_us > 0;
        t->pause_us = in_vain ? t->pause_us * 2 : MEMORY_LOOK_US;
        if (t->pause_us > MEMORY_PAUSE_MOST_US)
                t->pause_us = MEMORY_PAUSE_MOST_US;
        t->again_us = now_us + t->pause_us;
        t->stays = left_bytes;
}

size_t memory_give_back(int64_t now_us)
{
        static struct memory_tries tries;
        size_t used, spare = memory_spare(&used);
        metric_set(&metrics[SPARE], (int64_t)spare);
        if (!memory_worth_a_try(&tries, spare, used, now_us))
                return 0;
        malloc_trim(0);
        size_t left = memory_spare(&used);
        memory_tried(&tries, left, used, now_us);
        metric_set(&metrics[SPARE], (int64_t)left);
        size_t given = spare > left ? spare - left : 0;
        metric_add(&metrics[GIVEN_BACK], (int64_t)given);
        return given;
}

/* Looking now and then ----------------------------------------------------------------------------------------------- */

static struct {
        uv_work_t work;
        bool under_way;
        int64_t looked_us;
} look; /* the loop thread's; looked_us stays as it is while work is under way */

static void on_work(uv_work_t *work)
{
        (void)work;
        memory_give_back(look.looked_us);
}

static void on_worked(uv_work_t *work, int status)
{
        (void)work;
        (void)status;
        look.under_way = false;
}

void memory_look(uv_loop_t *loop, int64_t now_us)
{
        if (look.under_way || now_us - look.looked_us < MEMORY_LOOK_US)
                return;
        look.looked_us = now_us;
        look.under_way = uv_queue_work(loop, &look.work, on_work, on_worked) == 0;
}
