/* One blocking exchange on a socket, under one release of the interpreter's lock.

   It decides nothing. native_connection.py says when it runs, and what its result means.
   docs/decisions/native-exchange.md says why it is as it is.

   exchange(fd, written, check, request, milliseconds, look)

     fd            of a socket that does not block
     written       a bytearray: its first byte becomes 1 when the whole request has left, else 0
     check         look first whether the socket shows anything: an idle connection must not
     request       bytes
     milliseconds  to wait for the reply
     look          seconds, at most 1: look for the reply for so long before the wait begins

   Returns
     bytes         what came first, up to CHUNK bytes; b"" at the end of the stream
     None          the request has left, and nothing came: time is up, a signal came, or there was
                   nothing after all. The caller computes what time is left, and waits on.
     STALE         the check found something: nothing was sent
     n >= 0        the system took only so many bytes of the request

   Raises OSError as the system says it: before the request has left whole, or afterwards, which
   `written` tells.

   There is no loop round the wait, and no handler of signals runs in here: each wake-up ends the
   call, and Python runs its handlers itself. There is no state but the arguments. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: Python ignores SIGPIPE */
#endif

#define API 1       /* what native.py expects; an older build in a source tree is not used */
#define CHUNK 16384 /* on the stack of a thread, which may be as small as 32 KiB */
#define STALE (-1)

typedef struct {
    enum { IS_STALE, IS_PARTED, IS_OPEN, IS_ANSWERED, HAS_FAILED } kind;
    int written;  /* the whole request has left */
    ssize_t size; /* bytes sent of a parted request, or received */
    int error;    /* an errno */
} Outcome;

static int
must_wait(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static long long
nanoseconds(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static Outcome
failed(int written)
{
    return (Outcome){.kind = HAS_FAILED, .written = written, .error = errno};
}

/* All that happens without the interpreter's lock: no object of Python is touched. */
static Outcome
transact(int fd, int check, const char *request, size_t size, int milliseconds, long long look,
         char *chunk)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};
    if (check) {
        int shown;
        do { /* a signal that is pending ends a poll even if it does not wait */
            shown = poll(&input, 1, 0);
        } while (shown < 0 && errno == EINTR);
        if (shown != 0) {
            return shown < 0 ? failed(0) : (Outcome){.kind = IS_STALE};
        }
    }
    ssize_t sent = send(fd, request, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
        if (!must_wait(errno)) {
            return failed(0);
        }
        sent = 0;
    }
    if ((size_t)sent < size) {
        return (Outcome){.kind = IS_PARTED, .size = sent};
    }
    int ready = 0;
    if (look > 0) {
        long long until = nanoseconds() + look;
        do {
            ready = poll(&input, 1, 0);
        } while (ready == 0 && nanoseconds() < until);
    }
    if (ready == 0) {
        ready = poll(&input, 1, milliseconds);
    }
    if (ready <= 0) {
        return ready == 0 || must_wait(errno) ? (Outcome){.kind = IS_OPEN, .written = 1}
                                              : failed(1);
    }
    ssize_t got = recv(fd, chunk, CHUNK, MSG_DONTWAIT);
    if (got < 0) {
        return must_wait(errno) ? (Outcome){.kind = IS_OPEN, .written = 1} : failed(1);
    }
    return (Outcome){.kind = IS_ANSWERED, .written = 1, .size = got};
}

/* An int within 0 and INT_MAX, or -1 with an exception. */
static int
number(PyObject *value, const char *name)
{
    long found = PyLong_AsLong(value);
    if (found == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (found < 0 || found > INT_MAX) {
        PyErr_Format(PyExc_ValueError, "%s must be within 0 and %d, not %ld", name, INT_MAX, found);
        return -1;
    }
    return (int)found;
}

static PyObject *
exchange(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 6) {
        PyErr_Format(PyExc_TypeError, "exchange() takes 6 arguments, not %zd", count);
        return NULL;
    }
    PyObject *written = args[1];
    if (!PyByteArray_Check(written) || PyByteArray_Size(written) < 1) {
        PyErr_SetString(PyExc_TypeError, "written must be a bytearray with a byte in it");
        return NULL;
    }
    PyByteArray_AsString(written)[0] = 0;
    long fd = PyLong_AsLong(args[0]);
    if (fd == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (fd < 0 || fd > INT_MAX) { /* a closed socket's is -1, and poll() would ignore it */
        errno = EBADF;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    int check = PyObject_IsTrue(args[2]);
    if (check < 0) {
        return NULL;
    }
    char *request;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(args[3], &request, &size) < 0) {
        return NULL;
    }
    int milliseconds = number(args[4], "milliseconds");
    if (milliseconds < 0) {
        return NULL;
    }
    double look = PyFloat_AsDouble(args[5]);
    if (look == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    if (!(look >= 0.0 && look <= 1.0)) { /* NaN neither */
        PyErr_SetString(PyExc_ValueError, "look must be within 0 and 1 second");
        return NULL;
    }

    char chunk[CHUNK];
    Outcome outcome;
    Py_BEGIN_ALLOW_THREADS
    outcome = transact((int)fd, check, request, (size_t)size, milliseconds,
                       (long long)(look * 1e9), chunk);
    Py_END_ALLOW_THREADS

    if (outcome.written && PyByteArray_Size(written) > 0) {
        PyByteArray_AsString(written)[0] = 1;
    }
    switch (outcome.kind) {
    case IS_ANSWERED:
        return PyBytes_FromStringAndSize(chunk, outcome.size);
    case IS_OPEN:
        Py_RETURN_NONE;
    case IS_PARTED:
        return PyLong_FromSsize_t(outcome.size);
    case IS_STALE:
        return PyLong_FromLong(STALE);
    case HAS_FAILED:
        break;
    }
    errno = outcome.error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyMethodDef functions[] = {
    {"exchange", (PyCFunction)(void (*)(void))exchange, METH_FASTCALL,
     "One exchange on a socket; see the head of _exchange.c."},
    {NULL, NULL, 0, NULL},
};

static int
set_up(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "API", API) < 0) {
        return -1;
    }
    return PyModule_AddIntConstant(module, "STALE", STALE);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, set_up},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_exchange",
    .m_doc = "One blocking exchange under one release of the interpreter's lock.",
    .m_size = 0,
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__exchange(void)
{
    return PyModuleDef_Init(&definition);
}
