#include "common/file_watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "common/magic.h"
#include "common/mem.h"

#define FILE_WATCH_MAGIC 0x46574348

struct file_watch {
        uint32_t magic;
        uv_timer_t timer;
        char **paths;
        size_t count;
        file_watch_changed *changed;
        void *arg;
        XXH64_hash_t told, seen; /* what changed() was last called for; what the last look saw */
};

/* What tells two states of a file apart. The change time is in it because a copy may bring size and modification time along. */
struct identity {
        uint64_t device, inode, size, mode;
        int64_t modified_ns, changed_ns;
        uint64_t error; /* errno of stat(); the rest is then 0 */
};

static int64_t ns(const struct timespec *t)
{
        return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* Returns whether the path is a directory. */
static bool add_path(XXH64_state_t *hash, const char *path)
{
        struct stat st;
        struct identity id;
        memset(&id, 0, sizeof(id)); /* padding too: all of it is hashed */
        bool there = stat(path, &st) == 0;
        if (there) {
                id.device = st.st_dev;
                id.inode = st.st_ino;
                id.mode = st.st_mode;
                /* Another file in the directory that nobody reads changes the directory's times and shows in its entries. */
                id.size = (uint64_t)st.st_size;
                id.modified_ns = ns(&st.st_mtim);
                id.changed_ns = ns(&st.st_ctim);
        } else {
                id.error = (uint64_t)errno;
        }
        XXH64_update(hash, path, strlen(path) + 1);
        XXH64_update(hash, &id, sizeof(id));
        return there && S_ISDIR(st.st_mode);
}

static int not_the_folders(const struct dirent *entry)
{
        return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static void add_entries(XXH64_state_t *hash, const char *path)
{
        struct dirent **entries;
        int n = scandir(path, &entries, not_the_folders, alphasort);
        for (int i = 0; i < n; i++) {
                if (i < FILE_WATCH_ENTRIES_MAX) {
                        char *entry = mem_printf("%s/%s", path, entries[i]->d_name);
                        add_path(hash, entry);
                        free(entry);
                }
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
}

static XXH64_hash_t look(const struct file_watch *w)
{
        XXH64_state_t *hash = XXH64_createState();
        XXH64_reset(hash, 0);
        for (size_t i = 0; i < w->count; i++) {
                if (add_path(hash, w->paths[i]))
                        add_entries(hash, w->paths[i]);
        }
        XXH64_hash_t seen = XXH64_digest(hash);
        XXH64_freeState(hash);
        return seen;
}

static void on_timer(uv_timer_t *timer)
{
        struct file_watch *w = magic_check(timer->data, FILE_WATCH_MAGIC);
        XXH64_hash_t seen = look(w);
        bool settled = seen == w->seen;
        w->seen = seen;
        if (!settled || seen == w->told)
                return;
        w->told = seen;
        w->changed(w->arg);
}

struct file_watch *file_watch_open(uv_loop_t *loop, const char *const *paths, size_t count, file_watch_changed *changed,
                                   void *arg)
{
        struct file_watch *w = mem_alloc(sizeof(*w));
        w->magic = FILE_WATCH_MAGIC;
        w->changed = changed;
        w->arg = arg;
        w->paths = mem_alloc((count + 1) * sizeof(*w->paths));
        for (size_t i = 0; i < count; i++) {
                if (*paths[i])
                        w->paths[w->count++] = mem_strdup(paths[i]);
        }
        w->told = w->seen = look(w);
        uv_timer_init(loop, &w->timer);
        w->timer.data = w;
        uv_timer_start(&w->timer, on_timer, FILE_WATCH_MS, FILE_WATCH_MS);
        uv_unref((uv_handle_t *)&w->timer); /* a loop that has nothing else to do may end */
        return w;
}

static void on_closed(uv_handle_t *handle)
{
        struct file_watch *w = magic_check(handle->data, FILE_WATCH_MAGIC);
        for (size_t i = 0; i < w->count; i++)
                free(w->paths[i]);
        free(w->paths);
        w->magic = 0;
        free(w);
}

void file_watch_close(struct file_watch *w)
{
        if (w)
                uv_close((uv_handle_t *)&w->timer, on_closed);
}
