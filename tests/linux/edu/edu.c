// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU's edu device for tests: the driver maps one page of its own by the DMA
 * API and unmaps it again, when told by user space. It claims no registers, so
 * that user space can aim the device wherever it likes.
 *
 *   map      1 maps the page, 0 unmaps it
 *   iova     where the page is mapped, or was last
 *   word     the page's first eight bytes, in hexadecimal
 *   storm    N maps and unmaps another page N times
 *   blocked  1 takes the device out of the DMA API: the kernel then puts its
 *            group into the blocking domain; 0 gives it back
 */

#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pci.h>

struct edu {
	struct device *dev;
	struct mutex lock;		/* protects what follows */
	u64 *page;
	dma_addr_t iova;
	bool mapped;
	bool blocked;
};

static int edu_map(struct edu *edu)
{
	edu->iova = dma_map_single(edu->dev, edu->page, PAGE_SIZE,
				   DMA_BIDIRECTIONAL);
	if (dma_mapping_error(edu->dev, edu->iova))
		return -ENOMEM;
	edu->mapped = true;
	return 0;
}

static void edu_unmap(struct edu *edu)
{
	if (edu->mapped)
		dma_unmap_single(edu->dev, edu->iova, PAGE_SIZE,
				 DMA_BIDIRECTIONAL);
	edu->mapped = false;
}

static ssize_t map_store(struct device *dev, struct device_attribute *attr,
			 const char *buf, size_t count)
{
	struct edu *edu = dev_get_drvdata(dev);
	bool map;
	int ret;

	ret = kstrtobool(buf, &map);
	if (ret)
		return ret;
	guard(mutex)(&edu->lock);
	edu_unmap(edu);
	if (map)
		ret = edu_map(edu);
	return ret ?: count;
}
static DEVICE_ATTR_WO(map);

static ssize_t iova_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	struct edu *edu = dev_get_drvdata(dev);

	guard(mutex)(&edu->lock);
	return sysfs_emit(buf, "%#llx\n", (u64)edu->iova);
}
static DEVICE_ATTR_RO(iova);

static ssize_t word_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	struct edu *edu = dev_get_drvdata(dev);

	guard(mutex)(&edu->lock);
	if (edu->mapped)
		dma_sync_single_for_cpu(dev, edu->iova, PAGE_SIZE,
					DMA_BIDIRECTIONAL);
	return sysfs_emit(buf, "%016llx\n", READ_ONCE(*edu->page));
}

static ssize_t word_store(struct device *dev, struct device_attribute *attr,
			  const char *buf, size_t count)
{
	struct edu *edu = dev_get_drvdata(dev);
	u64 word;
	int ret;

	ret = kstrtou64(buf, 16, &word);
	if (ret)
		return ret;
	guard(mutex)(&edu->lock);
	WRITE_ONCE(*edu->page, word);
	if (edu->mapped)
		dma_sync_single_for_device(dev, edu->iova, PAGE_SIZE,
					   DMA_BIDIRECTIONAL);
	return count;
}
static DEVICE_ATTR_RW(word);

static ssize_t storm_store(struct device *dev, struct device_attribute *attr,
			   const char *buf, size_t count)
{
	unsigned int rounds;
	void *page;
	int ret;

	ret = kstrtouint(buf, 0, &rounds);
	if (ret)
		return ret;
	page = (void *)get_zeroed_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	while (!ret && rounds--) {
		dma_addr_t at = dma_map_single(dev, page, PAGE_SIZE,
					       DMA_BIDIRECTIONAL);

		ret = dma_mapping_error(dev, at);
		if (!ret)
			dma_unmap_single(dev, at, PAGE_SIZE, DMA_BIDIRECTIONAL);
	}
	free_page((unsigned long)page);
	return ret ?: count;
}
static DEVICE_ATTR_WO(storm);

static ssize_t blocked_store(struct device *dev, struct device_attribute *attr,
			     const char *buf, size_t count)
{
	struct edu *edu = dev_get_drvdata(dev);
	bool block;
	int ret;

	ret = kstrtobool(buf, &block);
	if (ret)
		return ret;
	guard(mutex)(&edu->lock);
	if (block == edu->blocked)
		return count;
	if (block)
		ret = iommu_device_claim_dma_owner(dev, edu);
	else
		iommu_device_release_dma_owner(dev);
	if (ret)
		return ret;
	edu->blocked = block;
	return count;
}
static DEVICE_ATTR_WO(blocked);

static struct attribute *edu_attrs[] = {
	&dev_attr_map.attr,
	&dev_attr_iova.attr,
	&dev_attr_word.attr,
	&dev_attr_storm.attr,
	&dev_attr_blocked.attr,
	NULL
};
ATTRIBUTE_GROUPS(edu);

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	struct edu *edu;
	int ret;

	edu = devm_kzalloc(dev, sizeof(*edu), GFP_KERNEL);
	if (!edu)
		return -ENOMEM;
	edu->dev = dev;
	mutex_init(&edu->lock);
	edu->page = (u64 *)devm_get_free_pages(dev, GFP_KERNEL | __GFP_ZERO, 0);
	if (!edu->page)
		return -ENOMEM;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(48));
	if (ret)
		return ret;
	pci_set_drvdata(pdev, edu);
	pci_set_master(pdev);
	return 0;
}

static void edu_remove(struct pci_dev *pdev)
{
	struct edu *edu = pci_get_drvdata(pdev);

	pci_clear_master(pdev);
	edu_unmap(edu);
	if (edu->blocked)
		iommu_device_release_dma_owner(&pdev->dev);
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "stagegate-edu",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
	.dev_groups = edu_groups,
	/* So that `blocked` may claim the device for itself */
	.driver_managed_dma = true,
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("QEMU's edu device, aimed by tests");
MODULE_LICENSE("GPL");
