"""A fleet: many mobiles, their links, queues at edge and cloud, simulated on recorded traces."""
