/* rtmp_push FILE.flv URL - publishes an FLV file in real time with librtmp, the client library behind many encoders.
 * Exit status 0 when the whole file was sent. */
#include <librtmp/rtmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/mem.h"

#define FILE_HEADER 13 /* FLV header and the first back pointer */
#define TAG_HEADER 11
#define BACK_POINTER 4
#define TAG_MAX (16u << 20)

static void wait_until_mono(int64_t mono_us)
{
        struct timespec ts = {.tv_sec = mono_us / US_PER_S, .tv_nsec = mono_us % US_PER_S * 1000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

/* One whole tag with its back pointer into a new array; NULL at the end of the file. */
static uint8_t *read_tag(FILE *in, size_t *len_bytes, uint32_t *time_ms)
{
        uint8_t header[TAG_HEADER];
        if (fread(header, 1, TAG_HEADER, in) != TAG_HEADER)
                return NULL;
        struct reader r;
        reader_init(&r, header, TAG_HEADER);
        reader_u8(&r);
        size_t body = reader_u24(&r);
        *time_ms = reader_u24(&r);
        *time_ms |= (uint32_t)reader_u8(&r) << 24;
        *len_bytes = TAG_HEADER + body + BACK_POINTER;
        if (*len_bytes > TAG_MAX)
                return NULL;
        uint8_t *tag = mem_alloc(*len_bytes);
        for (int i = 0; i < TAG_HEADER; i++)
                tag[i] = header[i];
        if (fread(tag + TAG_HEADER, 1, body + BACK_POINTER, in) == body + BACK_POINTER)
                return tag;
        free(tag);
        return NULL;
}

static int push(FILE *in, RTMP *rtmp)
{
        int64_t start_us = clock_mono_us();
        size_t len;
        uint32_t time_ms;
        uint8_t *tag;
        while ((tag = read_tag(in, &len, &time_ms))) {
                wait_until_mono(start_us + (int64_t)time_ms * US_PER_MS);
                int sent = RTMP_Write(rtmp, (const char *)tag, (int)len);
                free(tag);
                if (sent <= 0) {
                        fprintf(stderr, "rtmp_push: the server closed the connection\n");
                        return 1;
                }
        }
        return 0;
}

int main(int argc, char **argv)
{
        if (argc != 3) {
                fprintf(stderr, "usage: rtmp_push FILE.flv rtmp://HOST[:PORT]/APP/STREAM\n");
                return 2;
        }
        FILE *in = fopen(argv[1], "rb");
        if (!in || fseek(in, FILE_HEADER, SEEK_SET) != 0) {
                perror(argv[1]);
                return 2;
        }
        RTMP *rtmp = RTMP_Alloc();
        RTMP_Init(rtmp);
        int status = 1;
        if (!RTMP_SetupURL(rtmp, argv[2]))
                fprintf(stderr, "rtmp_push: bad address %s\n", argv[2]);
        else {
                RTMP_EnableWrite(rtmp);
                if (!RTMP_Connect(rtmp, NULL) || !RTMP_ConnectStream(rtmp, 0))
                        fprintf(stderr, "rtmp_push: not accepted by %s\n", argv[2]);
                else
                        status = push(in, rtmp);
        }
        RTMP_Close(rtmp);
        RTMP_Free(rtmp);
        fclose(in);
        return status;
}
