"""Planted pages, one a style, each with what should be asked and what must not."""

SPHINX = """<html><head><title>copy — Copying — Tool 1.0 documentation</title></head><body>
<h1>copy — Copying<a class="headerlink" href="#c">¶</a></h1>
<p>The copy module copies things.</p>
<h2>Whole trees<a class="headerlink" href="#t">¶</a></h2>
<dl><dt>copy.copy_tree(<em>src</em>, <em>dst</em>, <em>*</em>, <em>follow_links=True</em>)</dt>
<dd><p>Copy a folder with everything in it. If dst already exists, its files are replaced.</p>
<p>Return the number of files that were written.</p>
<p>If src is no folder, a <code>NotADirectoryError</code> is raised.</p>
<p>Added in version 3.4.</p>
<p>Changed in version 3.9: Added the follow_links argument.</p></dd>
<dt>copy.move_tree(<em>src</em>, <em>dst</em>)</dt>
<dd><p>This does what the one above does.</p>
<p>See below.</p></dd></dl>
<p>copy.example()</p>
<p>The line above is an example. It is not a function.</p>
</body></html>"""

SETTINGS = """# Settings

### cache_size

The size of the cache, in megabytes. It must be at least 16 megabytes.

**default**: `64`

### log_level

Sets how much is logged. Possible values are `quiet`, `normal` and `loud`.

- `--dry-run`: Print what would be done and stop.

| name | meaning |
|---|---|
| `retry_limit` | Limits how often a request is repeated. |

```python
### no_heading
copy_file(src, dst)
```

To clear the cache without a restart, use `tool cache clear`.
"""

DIRECTIVES = """:mod:`!heap` --- Heaps
=======================

.. module:: heap

A heap is a binary tree whose parents are never larger than their children.

.. function:: push(heap, item, *, key=len)

   Push the value *item* onto the *heap*.

   .. versionadded:: 2.1

.. class:: Heap(items)

   A heap that sorts by :func:`~heap.key`.

   .. method:: pop()

      Pop the smallest item.  If the heap is empty, :exc:`IndexError` is raised.

Nothing here is about pop any more, which was removed in version 9.
"""

MODULE = '''"""A module."""


def parse_date(text, *, first_day: int = 1):
    """Parse a date.

    Args:
        text (str): The date to be parsed, day first.
        first_day: Number of the week's first day.

    Returns:
        a date without a time.
    """


class Reader:
    """A reader of dates."""

    def _hidden(self):
        """Never ask."""

    def read_all(self, path):
        """Read every date of a file.

        :param path: The file to be read.
        :raises ValueError: If a line holds no date.
        """
'''

DJANGO = """<html><head><title>Forms — Tool 4.2 documentation</title></head><body>
<h1>Forms</h1>
<p>To save it all at once, use the create() method of a set.</p>
<dl><dt>Form.as_div()</dt><dd><div><span>New in Django 4.1.</span></div>
<p>Renders the form as a division.</p></dd>
<dt>Form.render(<em>context=None</em>, <em>renderer=None</em>)</dt>
<dd><p>Renders the form. All arguments are optional and will default to:</p>
<ul><li><p>context: Value returned by get_context()</p></li>
<li><p>renderer: Any renderer of the settings</p></li></ul></dd>
<dt>create(<em>values</em>)</dt><dd><p>Creates a row and puts it in the set.</p></dd>
<dt>Form.clean()</dt><dd><p>Implement a clean() method when fields depend on each other.</p></dd>
<dt>Form.desc(<em>nulls=False</em>)</dt><dd><p>Sorts the form backwards.</p>
<div><p>Deprecated since version 4.1: Passing nulls=False to desc() is deprecated. Use None
instead.</p></div></dd></dl>
<h2>Examples of use</h2>
<p>Do this by calling:</p>
<pre>from tool import Form

Form.configure(DEBUG=True)</pre>
<p>Pass as many keyword arguments as you like.</p>
<p>Register it with the form directly:</p>
<pre>Form.register(Lookup)</pre>
<p>Lookup registration can also be done by a decorator.</p>
<h2>Fields</h2><p>class models.User</p><p>A user has the fields below in the table.</p>
<h2>Methods</h2><p>class models.User</p>
<h2>DATA_LIMIT</h2><p>Default: 5000</p><p>The largest number of fields that a request may have.</p>
<h2>What is a fixture?</h2><p>A fixture is a collection of files that hold rows of a table.</p>
<h2>Squashing forms</h2><p>Squashing is the act of reducing many forms to a few.</p>
<h2>The MemoryStorage</h2><p>The MemoryStorage is a convenient way to keep files away.</p>
</body></html>"""
