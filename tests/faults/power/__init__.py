"""A power-loss simulator: the server's file operations, recorded once, cut off anywhere.

The real server runs under strace while clients write (`recording`). From the record any number
of disks are made that a power cut could have left behind (`disk`), each is opened with the
product and held against what the clients were told (`judging`, `campaign`).
"""
