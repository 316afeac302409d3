#include "originD/replica/incoming.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/file.h"

void incoming_init(struct incoming *in, const struct volume_track *of, uint32_t number)
{
        *in = (struct incoming){.info = *of->info, .init = buf_ref((struct buf *)(uintptr_t)of->init), .number = number,
                                .files = {-1, -1}};
        in->dir = mem_strdup(of->dir);
        in->folder = mem_printf("%s.incoming", of->dir);
        in->track = (struct volume_track){in->folder, &in->info, in->init, of->segments, of->chunk_ms};
}

void incoming_free(struct incoming *in)
{
        volume_files_close(&in->files);
        buf_unref(&in->init);
        free(in->folder);
        free(in->dir);
        *in = (struct incoming){.files = {-1, -1}};
}

int incoming_begin(struct incoming *in)
{
        int rc = file_remove_folder(in->folder);
        if (rc && rc != ERR_NOT_FOUND)
                return rc;
        if (mkdir(in->folder, 0755) < 0)
                return err_from_errno(errno);
        rc = volume_create(&in->track, in->number, false, &in->files);
        in->sum.bytes = in->init->len;
        in->crc = crc32c(0, in->init->data, in->init->len);
        return rc;
}

static int add_chunk(struct incoming *in, uint32_t segment, struct buf *chunk, bool last)
{
        struct chunk_info info;
        struct volume_sum *sum = &in->sum;
        bool unsure;
        if (box_chunk_parse(chunk->data, chunk->len, &in->info, &info))
                return ERR_PROTO;
        struct volume_record r = {.offset = sum->bytes, .len_bytes = (uint32_t)chunk->len, .segment = segment,
                                  .chunk = index_grid_chunk(info.start_ticks, in->info.timescale, in->track.chunk_ms, segment),
                                  .flags = last ? RECORD_LAST : 0, .samples = (uint16_t)info.samples,
                                  .start_ticks = info.start_ticks, .duration_ticks = (uint32_t)info.duration_ticks,
                                  .crc = crc32c(0, chunk->data, chunk->len)};
        int rc = volume_append(&in->files, chunk, &r, sum->chunks, false, &unsure);
        if (rc)
                return rc;
        in->crc = crc32c(in->crc, chunk->data, chunk->len);
        sum->bytes += chunk->len;
        sum->media_ticks += info.duration_ticks;
        sum->samples += info.samples;
        sum->first_segment = sum->chunks++ ? sum->first_segment : segment;
        sum->last_segment = segment;
        return 0;
}

int incoming_add(struct incoming *in, uint32_t segment, struct buf *bytes)
{
        int rc = in->sum.chunks && segment <= in->sum.last_segment ? ERR_PROTO : 0;
        for (size_t at = 0; at < bytes->len && !rc;) {
                size_t head;
                uint64_t len;
                if (box_chunk_length(bytes->data + at, bytes->len - at, &head, &len) || len > bytes->len - at)
                        return ERR_PROTO;
                struct buf *chunk = buf_slice(bytes, at, (size_t)len);
                at += (size_t)len;
                rc = add_chunk(in, segment, chunk, at == bytes->len);
                buf_unref(&chunk);
        }
        if (bytes->len > in->sum.peak_bytes)
                in->sum.peak_bytes = (uint32_t)bytes->len;
        return rc;
}

int incoming_check(struct incoming *in, const struct volume_sum *expected)
{
        in->sum.crc = in->crc;
        if (!expected->crc || in->sum.crc != expected->crc || in->sum.bytes != expected->bytes)
                return ERR_CONFLICT;
        return volume_close(&in->files, &in->sum);
}

/* The old index goes first: it would tell of other places in the new mp4. A volume without one is read by its boxes. */
int incoming_install(struct incoming *in)
{
        char *mp4 = volume_path(in->dir, in->number, "mp4"), *idx = volume_path(in->dir, in->number, "idx");
        char *new_mp4 = volume_path(in->folder, in->number, "mp4"), *new_idx = volume_path(in->folder, in->number, "idx");
        int rc = file_remove(idx);
        rc = rc ? rc : file_rename(new_mp4, mp4);
        rc = rc ? rc : file_rename(new_idx, idx);
        rc = rc ? rc : file_sync_folder(in->dir);
        (void)rmdir(in->folder); /* a leftover is removed when the next one begins */
        free(new_idx);
        free(new_mp4);
        free(idx);
        free(mp4);
        return rc;
}

void incoming_drop(struct incoming *in)
{
        volume_files_close(&in->files);
        (void)file_remove_folder(in->folder); /* likewise */
}
