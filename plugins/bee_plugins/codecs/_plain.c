/* Whether a value is plain: JSON carries it as it is, so nothing has to be compared.

   is_plain(value)

   Returns
     True    it is None, a bool, an int, a finite float, text, or a list, a tuple or a dict of such
             values whose keys are text. Each by its own class: a subclass is not plain.
     False   look closer. Also for what lies deeper than DEEPEST.

   It allocates nothing, changes nothing, and runs no code of Python. So no other thread can change
   the value meanwhile: this thread holds the interpreter's lock. A build of Python without that
   lock always gets False. plain_values.py says who asks.
   docs/decisions/native-exchange.md says why there is C here. */

#include <Python.h>

#include <math.h>

#define API 1       /* what plain_values.py expects; an older build in a source tree is not used */
#define DEEPEST 100 /* containers within containers; a level takes some 100 bytes of the stack */

#ifndef Py_GIL_DISABLED

static int
plain(PyObject *value, int room)
{
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyUnicode_Type || type == &PyLong_Type || type == &PyBool_Type
        || value == Py_None) {
        return 1;
    }
    if (type == &PyFloat_Type) {
        return isfinite(PyFloat_AS_DOUBLE(value)) != 0;
    }
    if (room == 0) {
        return 0;
    }
    if (type == &PyDict_Type) {
        PyObject *key, *item;
        Py_ssize_t at = 0;
        while (PyDict_Next(value, &at, &key, &item)) {
            if (Py_TYPE(key) != &PyUnicode_Type || !plain(item, room - 1)) {
                return 0;
            }
        }
        return 1;
    }
    if (type == &PyList_Type) {
        for (Py_ssize_t at = 0; at < PyList_GET_SIZE(value); at++) {
            if (!plain(PyList_GET_ITEM(value, at), room - 1)) {
                return 0;
            }
        }
        return 1;
    }
    if (type == &PyTuple_Type) {
        for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(value); at++) {
            if (!plain(PyTuple_GET_ITEM(value, at), room - 1)) {
                return 0;
            }
        }
        return 1;
    }
    return 0;
}

#else

static int
plain(PyObject *Py_UNUSED(value), int Py_UNUSED(room))
{
    return 0;
}

#endif

static PyObject *
is_plain(PyObject *Py_UNUSED(module), PyObject *value)
{
    return PyBool_FromLong(plain(value, DEEPEST));
}

static PyMethodDef functions[] = {
    {"is_plain", is_plain, METH_O, "Whether a value is plain; see the head of _plain.c."},
    {NULL, NULL, 0, NULL},
};

static int
set_up(PyObject *module)
{
    return PyModule_AddIntConstant(module, "API", API);
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
    .m_name = "_plain",
    .m_doc = "Whether JSON carries a value as it is.",
    .m_size = 0,
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__plain(void)
{
    return PyModuleDef_Init(&definition);
}
