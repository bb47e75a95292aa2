"""Native: C++ inner loops, compiled at first use; how does one come by a compiled one?"""
