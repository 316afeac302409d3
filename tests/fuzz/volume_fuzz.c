/* A volume as it may lie on a damaged disk: what is opened is whole, and lies there so that the next start finds the same.
 *
 * A byte of how it is opened, two of how long the init segment is, two of how long the file of records is; then the init segment,
 * the records, and what follows the init segment in the mp4. */
#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/daemon/log.h"
#include "originD/log/volume.h"

#define VOLUME 1
#define SEGMENTS 4 /* of a volume */

static char dir[64];

static void remove_dir(void)
{
        rmdir(dir);
}

static void make_dir(void)
{
        snprintf(dir, sizeof(dir), "/dev/shm/freshet-fuzz-XXXXXX");
        assert(mkdtemp(dir));
        atexit(remove_dir);
        log_set_level(LOG_ERROR + 1);
}

static void write_file(const char *suffix, const uint8_t *first, size_t first_len, const uint8_t *then, size_t then_len)
{
        char *path = volume_path(dir, VOLUME, suffix);
        FILE *f = fopen(path, "we");
        assert(f);
        fwrite(first, 1, first_len, f);
        fwrite(then, 1, then_len, f);
        fclose(f);
        free(path);
}

static void remove_files(void)
{
        DIR *d = opendir(dir);
        for (struct dirent *e; (e = readdir(d));)
                unlinkat(dirfd(d), e->d_name, 0);
        closedir(d);
}

static int open_again(const struct volume_track *t, bool append, enum volume_check check, struct volume_found *v)
{
        int err = append ? volume_open(t, VOLUME, check, v) : volume_look(t, VOLUME, check, NULL, v);
        if (err)
                return err;
        uint64_t end = t->init->len;
        for (size_t i = 0; i < v->index.count; i++) {
                const struct index_row *row = &v->index.rows[i];
                assert(row->segment / SEGMENTS == VOLUME && (i == 0 || row->segment > row[-1].segment));
                assert(row->offset >= end);
                end = row->offset + row->len_bytes;
        }
        assert(end <= v->index.file_bytes);
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct init_info info;
        struct volume_found first, second;
        if (size < 5)
                return 0;
        if (!*dir)
                make_dir();
        size_t init_len = (size_t)(data[1] << 8 | data[2]), idx_len = (size_t)(data[3] << 8 | data[4]);
        bool append = data[0] & 1, no_records = data[0] & 2;
        enum volume_check check = (enum volume_check)(data[0] >> 2 & 3) % (CHECK_ALL + 1);
        const uint8_t *init = data + 5;
        if (init_len + idx_len > size - 5 || box_init_parse(init, init_len, &info))
                return 0;
        struct buf *init_buf = buf_copy(init, init_len);
        struct volume_track t = {.dir = dir, .info = &info, .init = init_buf, .segments = SEGMENTS};
        if (!no_records)
                write_file("idx", init + init_len, idx_len, NULL, 0);
        write_file("mp4", init, init_len, init + init_len + idx_len, size - 5 - init_len - idx_len);

        if (open_again(&t, append, check, &first) == 0) {
                volume_files_close(&first.files);
                /* Where only the tail is checked, it is another one when some of it was cut off. */
                bool all_checked = check == CHECK_ALL || (!first.torn_bytes && !first.lacking);
                int err = open_again(&t, append, check, &second);
                assert(!err || !all_checked);
                if (all_checked) {
                        assert(second.index.count == first.index.count && second.index.chunks == first.index.chunks);
                        assert(second.index.file_bytes == first.index.file_bytes);
                        assert(!second.torn_bytes && !second.lacking);
                }
                if (!err) {
                        volume_files_close(&second.files);
                        index_free(&second.index);
                }
                index_free(&first.index);
        }
        remove_files();
        buf_unref(&init_buf);
        return 0;
}
