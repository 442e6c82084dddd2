// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stagegate paravirtual IOMMU: translated domains.
 *
 * The hypervisor owns the tables. The driver remembers what it asked for in an
 * interval tree, because the DMA API wants to look addresses up, and because a
 * scatter list can then be handed over in one call: map_pages only records,
 * iotlb_sync_map sends all that was recorded for its range.
 */

#define pr_fmt(fmt) "stagegate-iommu: " fmt

#include <linux/interval_tree.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "driver.h"

/* Calls that a neighbour on another CPU got in the way of are repeated */
#define STAGEGATE_RETRIES	64

struct stagegate_domain {
	struct iommu_domain domain;
	u32 id;
	spinlock_t lock;		/* protects mappings */
	struct rb_root_cached mappings;	/* of struct stagegate_mapping */
};

struct stagegate_mapping {
	struct interval_tree_node node;	/* IOVA, last byte inclusive */
	phys_addr_t paddr;
	u16 prot;
	bool pending;			/* not yet told to the hypervisor */
};

/* One page per CPU for the list of a scatter-gather call */
static DEFINE_PER_CPU(struct stagegate_list_entry *, stagegate_list);

static struct stagegate_domain *to_stagegate(struct iommu_domain *domain)
{
	return container_of(domain, struct stagegate_domain, domain);
}

static struct stagegate_mapping *to_mapping(struct interval_tree_node *node)
{
	return container_of(node, struct stagegate_mapping, node);
}

static size_t mapping_size(const struct stagegate_mapping *mapping)
{
	return mapping->node.last - mapping->node.start + 1;
}

int stagegate_lists_alloc(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		void *page = (void *)get_zeroed_page(GFP_KERNEL);

		if (!page) {
			stagegate_lists_free();
			return -ENOMEM;
		}
		per_cpu(stagegate_list, cpu) = page;
	}
	return 0;
}

void stagegate_lists_free(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		free_page((unsigned long)per_cpu(stagegate_list, cpu));
		per_cpu(stagegate_list, cpu) = NULL;
	}
}

/* Unmaps a range of the hypervisor's tables; returns the bytes unmapped */
static size_t stagegate_unmap(struct stagegate_domain *sd, unsigned long iova,
			      size_t size, unsigned long flags)
{
	unsigned int retries = STAGEGATE_RETRIES;
	struct arm_smccc_res res;
	size_t done = 0;

	while (done < size) {
		stagegate_call(&res, STAGEGATE_UNMAP, sd->id, iova + done,
			       size - done, flags);
		done += min(res.a1, size - done);
		if ((long)res.a0 == STAGEGATE_STATUS_RETRY && retries--)
			continue;
		if ((long)res.a0 == STAGEGATE_STATUS_HARDWARE)
			pr_err_ratelimited("domain %u: fenced\n", sd->id);
		if ((long)res.a0 || !res.a1)
			break;
	}
	return done;
}

/* Maps one piece, whole or not at all */
static int stagegate_map_one(struct stagegate_domain *sd, unsigned long iova,
			     phys_addr_t paddr, size_t size, u16 prot)
{
	unsigned int retries = STAGEGATE_RETRIES;
	struct arm_smccc_res res;
	size_t done = 0;
	int ret = 0;

	while (done < size) {
		stagegate_call(&res, STAGEGATE_MAP, sd->id, iova + done,
			       paddr + done, size - done, prot);
		done += min(res.a1, size - done);
		if ((long)res.a0 == STAGEGATE_STATUS_RETRY && retries--)
			continue;
		ret = stagegate_errno(&res);
		if (!ret && !res.a1)
			ret = -EIO;
		if (ret)
			break;
	}
	if (ret && done)
		stagegate_unmap(sd, iova, done, 0);
	return ret;
}

/* Drops what is done of a list: @whole entries and @bytes of the next one */
static unsigned int list_advance(struct stagegate_list_entry *list,
				 unsigned int count, unsigned int whole,
				 u64 bytes)
{
	count -= whole;
	memmove(list, list + whole, count * sizeof(*list));
	le64_add_cpu(&list->address, bytes);
	le64_add_cpu(&list->size, -bytes);
	return count;
}

/*
 * Maps the pieces of a list at consecutive IOVAs. Tells in @mapped how many
 * bytes from @iova on are mapped, on failure too.
 */
static int stagegate_map_list(struct stagegate_domain *sd, unsigned long iova,
			      struct stagegate_list_entry *list,
			      unsigned int count, u16 prot, size_t *mapped)
{
	unsigned int retries = STAGEGATE_RETRIES;
	struct arm_smccc_res res;
	int ret;

	*mapped = 0;
	for (;;) {
		stagegate_call(&res, STAGEGATE_MAP_SG, sd->id, iova + *mapped,
			       virt_to_phys(list), count, prot);
		*mapped += res.a2;
		ret = stagegate_errno(&res);
		if (ret == -EAGAIN && retries)
			retries--;
		else if (ret)
			return ret;
		else if (!res.a2)
			return -EIO;
		if (res.a1 >= count)
			return 0;
		count = list_advance(list, count, res.a1, res.a3);
	}
}

/* Takes all mappings in [start, last] out of the tree */
static void stagegate_forget(struct stagegate_domain *sd, unsigned long start,
			     unsigned long last)
{
	struct interval_tree_node *node;

	lockdep_assert_held(&sd->lock);
	while ((node = interval_tree_iter_first(&sd->mappings, start, last))) {
		interval_tree_remove(node, &sd->mappings);
		kfree(to_mapping(node));
	}
}

static int stagegate_map_pages(struct iommu_domain *domain, unsigned long iova,
			       phys_addr_t paddr, size_t pgsize, size_t pgcount,
			       int prot, gfp_t gfp, size_t *mapped)
{
	struct stagegate_domain *sd = to_stagegate(domain);
	size_t size = pgsize * pgcount;
	struct stagegate_mapping *mapping;
	unsigned long flags;
	int ret = 0;

	mapping = kmalloc(sizeof(*mapping), gfp);
	if (!mapping)
		return -ENOMEM;
	mapping->node.start = iova;
	mapping->node.last = iova + size - 1;
	mapping->paddr = paddr;
	/* The bits of IOMMU_READ to IOMMU_PRIV are those of the interface */
	mapping->prot = prot & (STAGEGATE_PROT_READ | STAGEGATE_PROT_WRITE |
				STAGEGATE_PROT_CACHE | STAGEGATE_PROT_NOEXEC |
				STAGEGATE_PROT_MMIO | STAGEGATE_PROT_PRIV);
	mapping->pending = true;

	spin_lock_irqsave(&sd->lock, flags);
	if (interval_tree_iter_first(&sd->mappings, iova, iova + size - 1))
		ret = -EEXIST;
	else
		interval_tree_insert(&mapping->node, &sd->mappings);
	spin_unlock_irqrestore(&sd->lock, flags);

	if (ret)
		kfree(mapping);
	else
		*mapped = size;
	return ret;
}

/*
 * Collects pending mappings from @iova on that follow each other with one
 * protection. Returns their number; @size gets their bytes. The hypervisor has
 * not seen them yet, so nobody else unmaps them meanwhile.
 */
static unsigned int stagegate_collect(struct stagegate_domain *sd,
				      unsigned long iova, unsigned long last,
				      struct stagegate_list_entry *list,
				      unsigned int max, size_t *size, u16 *prot)
{
	struct interval_tree_node *node;
	unsigned int count = 0;

	*size = 0;
	node = interval_tree_iter_first(&sd->mappings, iova, last);
	for (; node; node = interval_tree_iter_next(node, iova, last)) {
		struct stagegate_mapping *mapping = to_mapping(node);

		if (!mapping->pending || node->start != iova + *size ||
		    (count && mapping->prot != *prot) || count == max)
			break;
		mapping->pending = false;
		*prot = mapping->prot;
		list[count].address = cpu_to_le64(mapping->paddr);
		list[count].size = cpu_to_le64(mapping_size(mapping));
		*size += mapping_size(mapping);
		count++;
	}
	return count;
}

/* Sends what map_pages recorded; on failure nothing of the range stays */
static int stagegate_iotlb_sync_map(struct iommu_domain *domain,
				    unsigned long iova, size_t size)
{
	struct stagegate_domain *sd = to_stagegate(domain);
	unsigned long at = iova, last = iova + size - 1, flags;
	unsigned int max, count;
	size_t bytes, mapped;
	int ret = 0;

	max = min_t(unsigned int, stagegate_features.list_max,
		    STAGEGATE_LIST_MAX);
	if (!(stagegate_features.flags & STAGEGATE_FEATURE_SG) || !max)
		max = 1;

	while (!ret && size && at <= last) {
		struct stagegate_list_entry *list;
		u16 prot = 0;

		/* The list page is this CPU's until the call returns */
		local_irq_save(flags);
		list = this_cpu_read(stagegate_list);
		spin_lock(&sd->lock);
		count = stagegate_collect(sd, at, last, list, max, &bytes,
					  &prot);
		spin_unlock(&sd->lock);

		mapped = 0;
		if (!count) {
			ret = -EINVAL;
		} else if (count == 1) {
			ret = stagegate_map_one(sd, at,
						le64_to_cpu(list->address),
						bytes, prot);
		} else {
			ret = stagegate_map_list(sd, at, list, count, prot,
						 &mapped);
		}
		local_irq_restore(flags);
		at += ret ? mapped : bytes;
	}
	if (!ret)
		return 0;

	if (at > iova)
		stagegate_unmap(sd, iova, at - iova, 0);
	spin_lock_irqsave(&sd->lock, flags);
	stagegate_forget(sd, iova, last);
	spin_unlock_irqrestore(&sd->lock, flags);
	return ret;
}

/*
 * Cuts [start, last] out of the tree. A mapping that reaches beyond keeps its
 * remainder; only the one that reaches beyond both ends needs @spare.
 */
static void stagegate_cut(struct stagegate_domain *sd, unsigned long start,
			  unsigned long last, struct stagegate_mapping **spare)
{
	struct interval_tree_node *node;

	while ((node = interval_tree_iter_first(&sd->mappings, start, last))) {
		struct stagegate_mapping *mapping = to_mapping(node);
		unsigned long left = node->start, right = node->last;

		interval_tree_remove(node, &sd->mappings);
		if (right > last) {
			struct stagegate_mapping *rest = mapping;

			if (left < start) {
				rest = *spare;
				*spare = NULL;
				if (WARN_ON(!rest))
					rest = mapping;
				else
					*rest = *mapping;
			}
			rest->paddr += last + 1 - left;
			rest->node.start = last + 1;
			interval_tree_insert(&rest->node, &sd->mappings);
			if (rest == mapping)
				continue;
		}
		if (left < start) {
			mapping->node.last = start - 1;
			interval_tree_insert(node, &sd->mappings);
		} else {
			kfree(mapping);
		}
	}
}

static size_t stagegate_unmap_pages(struct iommu_domain *domain,
				    unsigned long iova, size_t pgsize,
				    size_t pgcount,
				    struct iommu_iotlb_gather *gather)
{
	struct stagegate_domain *sd = to_stagegate(domain);
	unsigned long last = iova + pgsize * pgcount - 1, flags;
	struct stagegate_mapping *spare = NULL;
	struct interval_tree_node *node;
	bool inside, pending;
	size_t done;

	spin_lock_irqsave(&sd->lock, flags);
	node = interval_tree_iter_first(&sd->mappings, iova, last);
	if (!node || node->start > iova) {
		spin_unlock_irqrestore(&sd->lock, flags);
		return 0;
	}
	inside = node->start < iova && node->last > last;
	/* A map that failed half way: the hypervisor was not told */
	pending = to_mapping(node)->pending;
	if (pending)
		last = min(last, node->last);
	spin_unlock_irqrestore(&sd->lock, flags);

	if (inside) {
		spare = kmalloc(sizeof(*spare), GFP_ATOMIC);
		if (!spare)
			return 0;
	}

	/*
	 * Strict: invalidated when the call returns. With a flush queue,
	 * flush_iotlb_all completes what is deferred here.
	 */
	done = last - iova + 1;
	if (!pending)
		done = stagegate_unmap(sd, iova, done,
				       iommu_iotlb_gather_queued(gather) ?
				       STAGEGATE_UNMAP_LAZY : 0);
	if (done) {
		spin_lock_irqsave(&sd->lock, flags);
		stagegate_cut(sd, iova, iova + done - 1, &spare);
		spin_unlock_irqrestore(&sd->lock, flags);
	}
	kfree(spare);
	return done;
}

static void stagegate_flush_iotlb_all(struct iommu_domain *domain)
{
	struct stagegate_domain *sd = to_stagegate(domain);
	unsigned int retries = STAGEGATE_RETRIES;
	struct arm_smccc_res res;

	do {
		stagegate_call(&res, STAGEGATE_SYNC, sd->id);
	} while ((long)res.a0 == STAGEGATE_STATUS_RETRY && retries--);
	if ((long)res.a0 && (long)res.a0 != STAGEGATE_STATUS_NOT_REQUIRED)
		pr_err_ratelimited("domain %u: sync failed (%ld)\n", sd->id,
				   (long)res.a0);
}

static phys_addr_t stagegate_iova_to_phys(struct iommu_domain *domain,
					  dma_addr_t iova)
{
	struct stagegate_domain *sd = to_stagegate(domain);
	struct interval_tree_node *node;
	phys_addr_t paddr = 0;
	unsigned long flags;

	spin_lock_irqsave(&sd->lock, flags);
	node = interval_tree_iter_first(&sd->mappings, iova, iova);
	if (node)
		paddr = to_mapping(node)->paddr + (iova - node->start);
	spin_unlock_irqrestore(&sd->lock, flags);
	return paddr;
}

static int stagegate_attach_dev(struct iommu_domain *domain, struct device *dev)
{
	return stagegate_attach_id(to_stagegate(domain)->id, dev);
}

static void stagegate_domain_free(struct iommu_domain *domain)
{
	struct stagegate_domain *sd = to_stagegate(domain);
	unsigned int retries = STAGEGATE_RETRIES;
	struct arm_smccc_res res;
	unsigned long flags;

	do {
		stagegate_call(&res, STAGEGATE_DOMAIN_FREE, sd->id);
	} while ((long)res.a0 == STAGEGATE_STATUS_RETRY && retries--);
	if ((long)res.a0)
		pr_err("domain %u not freed (%ld)\n", sd->id, (long)res.a0);

	spin_lock_irqsave(&sd->lock, flags);
	stagegate_forget(sd, 0, ULONG_MAX);
	spin_unlock_irqrestore(&sd->lock, flags);
	kfree(sd);
}

const struct iommu_domain_ops stagegate_domain_ops = {
	.attach_dev		= stagegate_attach_dev,
	.map_pages		= stagegate_map_pages,
	.iotlb_sync_map		= stagegate_iotlb_sync_map,
	.unmap_pages		= stagegate_unmap_pages,
	.flush_iotlb_all	= stagegate_flush_iotlb_all,
	.iova_to_phys		= stagegate_iova_to_phys,
	.free			= stagegate_domain_free,
};

struct iommu_domain *stagegate_domain_alloc_paging(struct device *dev)
{
	struct stagegate_domain *sd;
	struct arm_smccc_res res;
	int ret;

	sd = kzalloc(sizeof(*sd), GFP_KERNEL);
	if (!sd)
		return ERR_PTR(-ENOMEM);
	stagegate_call(&res, STAGEGATE_DOMAIN_ALLOC);
	ret = stagegate_errno(&res);
	if (ret) {
		kfree(sd);
		return ERR_PTR(ret);
	}
	sd->id = res.a1;
	sd->mappings = RB_ROOT_CACHED;
	spin_lock_init(&sd->lock);
	sd->domain.pgsize_bitmap = stagegate_features.pgsize_bitmap;
	sd->domain.geometry.aperture_start = 0;
	sd->domain.geometry.aperture_end =
		GENMASK_ULL(stagegate_features.iova_bits - 1, 0);
	sd->domain.geometry.force_aperture = true;
	return &sd->domain;
}
