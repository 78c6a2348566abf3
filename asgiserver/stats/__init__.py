# SPDX-License-Identifier: MIT
"""``--stats``: what the workers do, for Prometheus, for a load balancer and for people.

In the order of a number's way: record.py is where workers count, in memory that they share with
their supervisor; reporter.py adds what only a worker's Python knows; look.py reads all of it,
sampler.py once a second; metrics.py and page.html show it; site.py answers requests for them, and
service.py runs that, in a process beside the workers or in a thread of a server without any.

Without ``--stats`` none of these modules but this one is imported.
"""
