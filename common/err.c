#include "common/err.h"

#include <errno.h>
#include <nng/nng.h>
#include <stddef.h>
#include <uv.h>

static const char *const texts[] = {
#define X(name, text) text,
        ERR_MAP(X)
#undef X
};

const char *err_text(int err)
{
        if (err == 0)
                return "ok";
        if (err > 0 || (size_t)(-1 - err) >= sizeof(texts) / sizeof(texts[0]))
                return "unknown error";
        return texts[-1 - err];
}

int err_from_errno(int errnum)
{
        switch (errnum) {
        case 0:
                return 0;
        case ENOENT:
        case ENOTDIR: /* one of the folders is none: the file cannot be there */
                return ERR_NOT_FOUND;
        case EEXIST:
                return ERR_CONFLICT;
        case EMFILE: /* says nothing of the file */
        case ENFILE:
        case ENOMEM:
                return ERR_LIMIT;
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
                return ERR_NOSPACE;
        case EACCES:
        case EPERM:
                return ERR_DENIED;
        case EROFS:
                return ERR_READ_ONLY;
        case ECONNREFUSED:
                return ERR_REFUSED;
        case ECONNRESET:
        case EPIPE:
                return ERR_CLOSED;
        case EADDRINUSE:
                return ERR_IN_USE;
        case EADDRNOTAVAIL:
                return ERR_NO_ADDRESS;
        case ETIMEDOUT:
                return ERR_TIMEOUT;
        case ECANCELED:
                return ERR_CANCELED;
        default:
                return ERR_IO;
        }
}

int err_from_nng(int rv)
{
        switch (rv) {
        case 0:
                return 0;
        case NNG_ETIMEDOUT:
                return ERR_TIMEOUT;
        case NNG_ECONNREFUSED:
                return ERR_REFUSED;
        case NNG_ECONNRESET:
        case NNG_ECONNABORTED:
        case NNG_ECONNSHUT:
        case NNG_ECLOSED:
                return ERR_CLOSED;
        case NNG_ECANCELED:
                return ERR_CANCELED;
        case NNG_EADDRINUSE:
                return ERR_IN_USE;
        case NNG_EADDRINVAL:
                return ERR_NO_ADDRESS;
        case NNG_EPERM:
                return ERR_DENIED;
        case NNG_EPROTO:
                return ERR_PROTO;
        case NNG_EMSGSIZE:
                return ERR_LIMIT;
        default:
                return ERR_IO;
        }
}

int err_from_uv(int status)
{
        switch (status) {
        case 0:
                return 0;
        case UV_EOF:
                return ERR_CLOSED;
        case UV_EAI_NONAME:
                return ERR_NOT_FOUND;
        default:
                return err_from_errno(-status);
        }
}
